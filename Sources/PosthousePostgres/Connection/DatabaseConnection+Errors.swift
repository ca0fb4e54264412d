// SPDX-License-Identifier: Apache-2.0

import PosthouseReactor
import Synchronization

extension DatabaseConnection {
    /// Why the connection cannot be claimed.
    func refusedClaim() -> DatabaseError {
        let state = state
        if let interruption = interruptionError(phase: .sending, outcome: .notSent) { return interruption }
        if state.isUnusable {
            return error(
                .connectionClosed,
                "The connection to \(host) is closed. Take another one.",
                phase: .sending,
                outcome: .notSent
            )
        }
        return error(
            .connectionBusy,
            "Another task is using the connection to \(host). A connection runs one statement at a time: wait for it, or take "
                + "a connection per task.",
            phase: .sending,
            outcome: .notSent
        )
    }

    /// The error of a connection that was interrupted; nil if it was not.
    func interruptionError(phase: DatabaseError.Phase, outcome: DatabaseError.Outcome) -> DatabaseError? {
        switch InterruptionReason(rawValue: interruption.load(ordering: .acquiring)) {
        case .fenced:
            error(
                .fenced,
                "The host \(host) was fenced: another server has taken over. Run the work again.",
                phase: phase,
                outcome: outcome
            )
        case .terminated:
            error(.terminated, "The connection to \(host) was terminated.", phase: phase, outcome: outcome)
        case nil: nil
        }
    }

    /// The error of a connection that broke. Called by the owner.
    func lostConnection(phase: DatabaseError.Phase, outcome: DatabaseError.Outcome) -> DatabaseError {
        if let interruption = interruptionError(phase: phase, outcome: outcome) { return interruption }
        let reason = notices.sessionEnd?.message ?? pq.errorMessage
        var error = error(
            .connectionLost,
            "The connection to \(host) was lost\(reason.isEmpty ? "." : ": \(reason)")",
            phase: phase,
            outcome: outcome
        )
        error.sqlState = notices.sessionEnd?.sqlState
        return error
    }

    /// The error of a statement whose wait ended without an answer. Called by the owner.
    func brokenOff(
        by reason: SocketWaitError,
        phase: DatabaseError.Phase,
        outcome: DatabaseError.Outcome
    ) -> DatabaseError {
        if let interruption = interruptionError(phase: phase, outcome: outcome) { return interruption }
        switch reason {
        case .cancelled:
            return error(
                .cancelled,
                "The task was cancelled; its connection to \(host) is discarded.",
                phase: phase,
                outcome: outcome
            )
        case .timedOut:
            return error(
                .timedOut,
                "\(host) did not answer before the deadline; the connection is discarded.",
                phase: phase,
                outcome: outcome
            )
        default:
            return error(
                .connectionClosed,
                "The event loop of the connection to \(host) was shut down.",
                phase: phase,
                outcome: outcome
            )
        }
    }

    func error(
        _ code: DatabaseError.Code,
        _ message: String,
        phase: DatabaseError.Phase,
        outcome: DatabaseError.Outcome
    ) -> DatabaseError {
        DatabaseError(code: code, message: message, host: host, phase: phase, outcome: outcome)
    }

    /// Tells whoever watches over hosts what an error is evidence of.
    func report(_ error: DatabaseError) {
        guard let events else { return }
        if let sqlState = error.sqlState {
            switch sqlState {
            case .adminShutdown, .crashShutdown, .cannotConnectNow: events.connection(self, sawShutdown: sqlState)
            case .readOnlySQLTransaction: events.connectionSawReadOnlyError(self)
            default: break
            }
        }
        if error.code == .connectionLost || error.code == .protocolViolation {
            events.connection(self, wasLost: error)
        }
    }
}

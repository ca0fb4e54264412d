// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import PosthouseBase
import PosthouseReactor

/// What an exchange is for: decides how it ends when it is disturbed.
enum Purpose {
    /// Broken off when its task is cancelled.
    case ordinary
    /// Text of several statements that the user wrote: a COMMIT may be anywhere in it.
    case script
    /// BEGIN, SAVEPOINT: of it nothing stays, whatever becomes of it.
    case begin
    /// COMMIT: never broken off by cancellation, and if its answer is lost nobody knows whether it happened.
    case commit
    /// ROLLBACK and the like: not broken off by cancellation, because what was cancelled is being cleaned up.
    case cleanUp

    var isCancellable: Bool {
        switch self {
        case .ordinary, .script, .begin: true
        case .commit, .cleanUp: false
        }
    }
}

extension DatabaseConnection {
    /// Waits for the end of what was sent; throws if it ended without an answer.
    ///
    /// One suspension in the common case: all was flushed by the send, and the answer comes in one piece.
    @inline(__always)
    func finish(
        _ exchange: inout Exchange,
        sql: SQL,
        purpose: Purpose,
        deadline: Moment?
    ) async throws(DatabaseError) {
        let sentAt = measuresResponses ? Moment.now : nil
        var hasWoken = false
        while let interest = advance(&exchange, hasWoken: hasWoken) {
            if exchange.isPausing {
                exchange.isPausing = false
                let purpose = resolve(purpose, sql)
                if let reason = disturbance(purpose, deadline) { throw brokenOff(exchange, by: reason, purpose, sql) }
                await Task.yield()
                continue
            }
            do throws(SocketWaitError) {
                try await registration.wait(for: interest, deadline: deadline)
            } catch {
                let purpose = resolve(purpose, sql)
                guard error == .cancelled, !purpose.isCancellable else {
                    throw brokenOff(exchange, by: error, purpose, sql)
                }
                if let error = await waitShielded(for: interest, until: deadline) {
                    throw brokenOff(exchange, by: error, purpose, sql)
                }
            }
            hasWoken = true
        }
        if let sentAt, !exchange.isTransportDead { reportResponse(since: sentAt) }
    }

    @inline(never)
    private func reportResponse(since sentAt: Moment) {
        events?.connection(self, answeredAfter: Moment.now - sentAt)
    }

    /// Does all that can be done without waiting.
    ///
    /// - Parameter hasWoken: the socket was reported ready.
    /// - Returns: what to wait for; nil if the exchange is over.
    private func advance(_ exchange: inout Exchange, hasWoken: Bool) -> Readiness? {
        if hasWoken { exchange.isTransportDead = !pq.consumeInput() }
        var reads = 0
        while true {
            // Reading goes on while we flush: the server may not read our rest before we have read what it has to say.
            if exchange.isFlushing { exchange.isFlushing = pq.flush() == 1 && !exchange.isTransportDead }
            // libpq closes the socket of a dead connection, and then hands out what it had read before, without blocking.
            while pq.socket < 0 || !pq.isBusy {
                guard let result = pq.takeResult() else { return nil }
                exchange.collect(result, host: host)
                if exchange.isCopying { return nil }
            }
            if exchange.isTransportDead { return nil }
            // Readiness is reported on edges, and libpq does not promise to have read all: look before waiting for an edge
            // that may have passed. (Nothing was read before the first wait, so there is no edge to have missed.)
            guard hasWoken, mayHoldInput(&exchange) else { return exchange.isFlushing ? [.read, .write] : .read }
            reads += 1
            exchange.isPausing = reads >= Self.readsAtOnce
            if exchange.isPausing { return .read }
        }
    }

    /// Some hundred kilobytes: a server may send faster than we read, for as long as its answer is.
    private static let readsAtOnce = 64

    /// What would have ended a wait, if there had been one.
    private func disturbance(_ purpose: Purpose, _ deadline: Moment?) -> SocketWaitError? {
        if state.isInterrupted { return .interrupted }
        if purpose.isCancellable, Task.isCancelled { return .cancelled }
        if let deadline, deadline <= .now { return .timedOut }
        return nil
    }

    /// Reads on if something is left to read.
    ///
    /// - Returns: false if all was read: an edge will come.
    private func mayHoldInput(_ exchange: inout Exchange) -> Bool {
        if kernelHoldsInput {
            exchange.isTransportDead = !pq.consumeInput()
            return true
        }
        guard isEncrypted else { return false }
        // The rest of a TLS record may be inside OpenSSL. With nothing in the kernel, one more call fetches all of it: libpq
        // makes room for 8 KiB before each read, and a record holds 16 KiB of which the read before took as much.
        exchange.isTransportDead = !pq.consumeInput()
        return !pq.isBusy || exchange.isTransportDead
    }

    /// Waits on, though the task is cancelled: cancellation does not reach a task of its own.
    private func waitShielded(
        for interest: Readiness,
        until deadline: Moment?
    ) async -> SocketWaitError? {
        await Task { [registration] () -> SocketWaitError? in
            do throws(SocketWaitError) {
                try await registration.wait(for: interest, deadline: deadline)
                return nil
            } catch {
                return error
            }
        }.value
    }

    /// What the user wrote may be a COMMIT too, or have one in it. Looked at when it matters, not when it is sent.
    func resolve(_ purpose: Purpose, _ sql: SQL) -> Purpose {
        switch purpose {
        case .ordinary: sql.isCommit ? .commit : .ordinary
        case .script: sql.containsCommit ? .commit : .ordinary
        case .begin, .commit, .cleanUp: purpose
        }
    }

    private func brokenOff(
        _ exchange: Exchange,
        by reason: SocketWaitError,
        _ purpose: Purpose,
        _ sql: SQL
    ) -> DatabaseError {
        breakOff()
        // Exact: nothing was given to libpq since it last said what it holds.
        let phase: DatabaseError.Phase = exchange.isFlushing ? .sending : .waiting
        let error = brokenOff(by: reason, phase: phase, outcome: outcomeIfUnanswered(exchange, sql, purpose))
        noteEffects(of: error)
        return error
    }
}

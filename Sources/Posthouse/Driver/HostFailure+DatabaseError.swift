// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePostgres

extension HostFailure {
    /// Sorts a driver error by what it proves of the host.
    ///
    /// If the host has several addresses, what was learnt of a server counts more than what was not reached; and the host
    /// refuses only if all its addresses do, apart from those that this machine cannot reach at all.
    init(_ error: DatabaseError) {
        let attempts = error.attempts.isEmpty ? [error] : error.attempts
        let kind = attempts.map { Kind($0) }.max { $0.weight < $1.weight }
        self.init(kind ?? Kind(error), reason: error.sqlState.map { "\(error.message) (\($0))" } ?? error.message)
    }
}

extension HostFailure.Kind {
    fileprivate init(_ error: DatabaseError) {
        switch error.code {
        case .connectionRefused: self = .refused
        case .timedOut: self = .timedOut
        case .cancelled, .localFailure: self = .local
        case .protocolViolation: self = .garbage
        case .tlsFailed, .authenticationFailed, .invalidParameters: self = .misconfigured
        case .connectionLost, .connectionClosed: self = .lost
        case .server: self = error.sqlState.map(HostFailure.Kind.init) ?? .unreachable
        default: self = .unreachable
        }
    }

    fileprivate var weight: Int {
        switch self {
        case .local: 0
        case .refused: 1
        case .unreachable: 2
        case .lost: 3
        case .timedOut: 4
        case .garbage: 5
        case .misconfigured: 6
        case .starting: 7
        case .busy: 8
        }
    }

    fileprivate init(_ sqlState: SQLState) {
        switch sqlState {
        // A server that shuts down says so to one session after another; but an administrator may have meant only this one.
        case .adminShutdown: self = .lost
        case .cannotConnectNow, .crashShutdown: self = .starting
        case .tooManyConnections: self = .busy
        case .databaseDropped, "3D000": self = .misconfigured
        case _ where sqlState.classCode == "28": self = .misconfigured
        default: self = .unreachable
        }
    }
}

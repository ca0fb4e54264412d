// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePostgres

extension HostFailure {
    /// Sorts a driver error by what it proves of the host.
    init(_ error: DatabaseError) {
        self.init(Kind(error), reason: error.sqlState.map { "\(error.message) (\($0))" } ?? error.message)
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

    fileprivate init(_ sqlState: SQLState) {
        switch sqlState {
        case .cannotConnectNow, .adminShutdown, .crashShutdown: self = .starting
        case .tooManyConnections: self = .busy
        case .databaseDropped, "3D000": self = .misconfigured
        case _ where sqlState.classCode == "28": self = .misconfigured
        default: self = .unreachable
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster

/// How something failed that was asked of a simulated server.
public struct SimulatedError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The ways to fail; more may be added.
    public enum Kind: String, Sendable, Hashable {
        /// Nobody listens there.
        case refused
        /// No answer within the deadline. A statement may have run.
        case timedOut
        /// The session was reset. A statement may have run.
        case lost
        /// 57P03: the server is starting up.
        case starting
        /// 53300: no room for another session.
        case busy
        /// EMFILE: this process has no descriptor left for another connection.
        case exhausted
        /// 25006: a replica does not write.
        case readOnly
        /// The session was interrupted from this side. A statement may have run.
        case interrupted
        /// The task was cancelled. A statement may have run.
        case cancelled
    }

    /// The way it failed.
    public let kind: Kind

    /// Makes an error.
    public init(_ kind: Kind) {
        self.kind = kind
    }

    /// The way it failed, as a word.
    public var description: String { kind.rawValue }

    /// What it proves of the host.
    var failure: HostFailure {
        switch kind {
        case .refused: HostFailure(.refused, reason: "connection refused")
        case .timedOut: HostFailure(.timedOut, reason: "no answer in time")
        case .lost: HostFailure(.lost, reason: "connection reset")
        case .starting: HostFailure(.starting, reason: "57P03: the database system is starting up")
        case .busy: HostFailure(.busy, reason: "53300: too many clients already")
        case .exhausted: HostFailure(.local, reason: "EMFILE: too many open files")
        case .readOnly: HostFailure(.unreachable, reason: "25006: cannot write in a read-only transaction")
        case .interrupted, .cancelled: HostFailure(.local, reason: "interrupted from this side")
        }
    }
}

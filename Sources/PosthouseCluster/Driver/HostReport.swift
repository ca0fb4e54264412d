// SPDX-License-Identifier: Apache-2.0

/// What a server says of itself when asked.
///
/// Fields a server refuses to tell (some clouds revoke the functions) are `nil`; see ``FenceLevel``.
public struct HostReport: Sendable, Hashable {
    /// `pg_is_in_recovery()`: true on a replica. Within one ``incarnation`` it only ever goes from true to false.
    public var isInRecovery: Bool
    /// Whether new transactions are read-only by default although the server is not in recovery.
    public var isReadOnly: Bool
    /// `pg_control_system().system_identifier`: the same on all servers of one cluster, and on no other.
    public var systemIdentifier: UInt64?
    /// The timeline the server writes, or as a replica follows. Each promotion starts a higher one.
    public var timeline: UInt32?
    /// `pg_postmaster_start_time()` in microseconds since 1970: tells one run of one server from every other.
    public var incarnation: Int64?
    /// Position in the write-ahead log in bytes: inserted on a primary, replayed on a replica.
    public var position: UInt64?
    /// Time since the last replayed commit on a replica, `nil` where there was none.
    public var replayAge: Duration?

    /// Where the server can be reached, as "host:port", by its own account.
    public var address: String?
    /// Whom a replica receives its write-ahead log from, as "host:port". Roles without `pg_read_all_stats` are not told.
    public var upstream: String?

    /// Makes a report; everything but the recovery state may be unknown.
    public init(
        isInRecovery: Bool,
        isReadOnly: Bool = false,
        systemIdentifier: UInt64? = nil,
        timeline: UInt32? = nil,
        incarnation: Int64? = nil,
        position: UInt64? = nil,
        replayAge: Duration? = nil,
        address: String? = nil,
        upstream: String? = nil
    ) {
        self.isInRecovery = isInRecovery
        self.isReadOnly = isReadOnly
        self.systemIdentifier = systemIdentifier
        self.timeline = timeline
        self.incarnation = incarnation
        self.position = position
        self.replayAge = replayAge
        self.address = address
        self.upstream = upstream
    }
}

/// How much of a server's identity could be read, and so how firmly a stale primary can be kept out.
public enum FenceLevel: String, Sendable, Hashable {
    /// System identifier and timeline are known.
    case full
    /// One of both is refused by the server.
    case reduced
    /// Neither is known: the role alone decides.
    case none
}

extension HostReport {
    /// How much of the identity this report carries.
    public var fenceLevel: FenceLevel {
        switch (systemIdentifier, timeline) {
        case (.some, .some): .full
        case (nil, nil): .none
        default: .reduced
        }
    }
}

/// A failed attempt to reach or to question a host, sorted by what it proves.
public struct HostFailure: Error, Sendable, Hashable {
    /// What a failure proves of the host.
    public enum Kind: Sendable, Hashable {
        /// Nobody listens there, or the network says that the host is gone: proof that it is down.
        case refused
        /// The attempt failed in a way that proves nothing more than that it failed.
        case unreachable
        /// No answer within the deadline.
        case timedOut
        /// A session ended. The server may be fine: one backend can be terminated. A second one that ends while it
        /// is being opened is proof.
        case lost
        /// The server is there and says "not yet" or "no more" (57P03, 57P01).
        case starting
        /// The server is alive but has no room for another connection (53300).
        case busy
        /// The server is alive and refuses us: login, database or TLS do not fit.
        case misconfigured
        /// What answers does not speak the protocol.
        case garbage
        /// Our own machine's fault (no file descriptors, no memory): says nothing of the host.
        case local
    }

    /// What the failure proves.
    public var kind: Kind
    /// In words, without secrets.
    public var reason: String

    /// Makes a failure.
    public init(_ kind: Kind, reason: String) {
        self.kind = kind
        self.reason = reason
    }
}

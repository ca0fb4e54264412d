// SPDX-License-Identifier: Apache-2.0

/// One member of a group (or a lone pool) at one moment.
public struct PoolStatus: Sendable {
    /// The member.
    public let member: MemberID
    /// The name it was given.
    public let label: String
    /// What it serves right now; nothing = it gets no traffic.
    public let serves: ServiceClass
    /// Taken out of the group; it is shown until its last connection is closed.
    public let isRemoved: Bool
    /// The soft limit.
    public let maximumSize: Int
    /// The hard limit, if it differs from the soft one.
    public let burstLimit: Int?
    /// Open connections: idle or leased (not those being opened or closed).
    public let size: Int
    /// Idle connections.
    public let available: Int
    /// Connections in the hands of callers.
    public let leased: Int
    /// Connections being opened.
    public let connecting: Int
    /// Connections being closed.
    public let closing: Int
    /// Requests in the queue that this member could serve.
    public let waiting: Int
    /// Why the last connect that failed did, if one has failed since the last success.
    public let lastConnectError: (any Error)?
    /// When that was.
    public let lastConnectErrorAt: ContinuousClock.Instant?
    /// When a connect is tried again, while the member is left alone after failures.
    public let retryAt: ContinuousClock.Instant?

    /// Connections that could be leased without exceeding the soft limit: idle, or not yet opened.
    public var free: Int { available + max(0, maximumSize - size - connecting - closing) }

    /// The limit nothing exceeds.
    public var hardLimit: Int { burstLimit ?? maximumSize }
}

/// A whole group at one moment.
public struct PoolSnapshot: Sendable {
    /// The group's name.
    public let name: String
    /// When it was taken.
    public let takenAt: ContinuousClock.Instant
    /// All members, in the order they were added; of those that were removed the ones that still have connections.
    public let members: [PoolStatus]
    /// Requests in the queue.
    public let waiting: Int
    /// Whether the group refuses requests because it was closed or terminated.
    public let isClosed: Bool
}

/// How much a member is used: cheap to take often, to see whether work comes back.
public struct PoolActivity: Sendable, Hashable {
    /// The member.
    public let member: MemberID
    /// Connections in the hands of callers.
    public let leased: Int
    /// How many leases have ended since the member was added.
    public let endedLeases: UInt64
    /// How often the other side has answered since then, as far as its strategy counts that.
    public let answers: UInt64
}

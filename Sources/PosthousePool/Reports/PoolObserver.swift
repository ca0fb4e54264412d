// SPDX-License-Identifier: Apache-2.0

/// Hears what happens in a pool: for logs, metrics and traces.
///
/// Every method has an empty default. They are called outside the pool's lock, on whatever thread the event happened, so
/// they may call the pool (``PoolGroup/snapshot()``), and must return soon. Nothing is told on the way of an idle hit, unless
/// the observer asks for uses.
public protocol PoolObserver: Sendable {
    /// Whether ``used(_:for:)`` is called. Read once, when the pool is made. It makes every lease read a clock twice, which
    /// costs more than the lease; default `false`.
    var wantsUses: Bool { get }
    /// A lease ended after `duration`.
    func used(_ member: PoolMember, for duration: Duration)
    /// A lease has lasted for longer than ``PoolConfiguration/leakDetectionThreshold``.
    func leaked(_ lease: LeaseReport)
    /// A lease that was reported as leaked has ended after all.
    func leakEnded(_ lease: LeaseReport)
    /// Connects to the member have failed for ``PoolGroupConfiguration/failFastAfter`` while nothing was open.
    func becameUnavailable(_ member: PoolMember)
    /// A connect to a member that was unavailable succeeded, or it was put into service again.
    func becameAvailable(_ member: PoolMember)
    /// A request was refused without waiting, or after a short wait: ``PoolError/Code/exhausted``,
    /// ``PoolError/Code/unavailable`` or ``PoolError/Code/overloaded``.
    func refused(_ error: PoolError)
    /// A connection was opened; it took `duration`.
    func connected(_ member: PoolMember, after duration: Duration)
    /// Opening a connection failed (or ran into its timeout) after `duration`.
    func connectFailed(_ member: PoolMember, error: any Error, after duration: Duration)
    /// A connection left the pool.
    func connectionClosed(_ member: PoolMember, reason: CloseReason)
    /// A request that had to wait got a connection after `duration`.
    func waited(_ member: PoolMember, for duration: Duration)
    /// A request ran into its deadline.
    func timedOut(_ error: PoolError)
    /// The member went above its soft limit.
    func burstStarted(_ member: PoolMember)
    /// The member is back at its soft limit.
    func burstStopped(_ member: PoolMember)
    /// The member reached its burst limit: requests wait from here on.
    func limitReached(_ member: PoolMember)
    /// Closing a connection threw, and no scope is left that the error could reach.
    func returnError(_ member: PoolMember, error: any Error)
    /// The group was dropped without `close`; it has stopped, idle connections are closed, leased ones are when they come
    /// back.
    func droppedWithoutClose(_ snapshot: PoolSnapshot)
}

extension PoolObserver {
    /// `false`.
    public var wantsUses: Bool { false }
    /// Does nothing.
    public func used(_ member: PoolMember, for duration: Duration) {}
    /// Does nothing.
    public func leaked(_ lease: LeaseReport) {}
    /// Does nothing.
    public func leakEnded(_ lease: LeaseReport) {}
    /// Does nothing.
    public func becameUnavailable(_ member: PoolMember) {}
    /// Does nothing.
    public func becameAvailable(_ member: PoolMember) {}
    /// Does nothing.
    public func refused(_ error: PoolError) {}
    /// Does nothing.
    public func connected(_ member: PoolMember, after duration: Duration) {}
    /// Does nothing.
    public func connectFailed(_ member: PoolMember, error: any Error, after duration: Duration) {}
    /// Does nothing.
    public func connectionClosed(_ member: PoolMember, reason: CloseReason) {}
    /// Does nothing.
    public func waited(_ member: PoolMember, for duration: Duration) {}
    /// Does nothing.
    public func timedOut(_ error: PoolError) {}
    /// Does nothing.
    public func burstStarted(_ member: PoolMember) {}
    /// Does nothing.
    public func burstStopped(_ member: PoolMember) {}
    /// Does nothing.
    public func limitReached(_ member: PoolMember) {}
    /// Does nothing.
    public func returnError(_ member: PoolMember, error: any Error) {}
    /// Does nothing.
    public func droppedWithoutClose(_ snapshot: PoolSnapshot) {}
}

/// Which member an event belongs to.
public struct PoolMember: Sendable, Hashable {
    /// The name of its group.
    public let group: String
    /// The member.
    public let id: MemberID
    /// The name it was given.
    public let label: String
}

/// Why a connection left the pool.
public struct CloseReason: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String {
        case overSoftLimit, resized, expired, fenced, poolClosed, reportedClosed, invalid, evicted, late
        case idleTimedOut, lifetimeOver, usedUp, unfit, detached, budget, removed
    }

    private let kind: Kind

    /// More than the soft limit were open and nobody waited.
    public static let overSoftLimit = CloseReason(kind: .overSoftLimit)
    /// The pool was made smaller.
    public static let resized = CloseReason(kind: .resized)
    /// Its generation was expired (``PoolGroup/expire(_:)``).
    public static let expired = CloseReason(kind: .expired)
    /// Its member was fenced (``PoolGroup/fence(_:)``).
    public static let fenced = CloseReason(kind: .fenced)
    /// The pool was closed, terminated or dropped.
    public static let poolClosed = CloseReason(kind: .poolClosed)
    /// The strategy said that it is closed.
    public static let reportedClosed = CloseReason(kind: .reportedClosed)
    /// The strategy threw when asked; dropped without closing it.
    public static let invalid = CloseReason(kind: .invalid)
    /// Whoever had claimed it while it was idle said so (``IdleVerdict/evict``).
    public static let evicted = CloseReason(kind: .evicted)
    /// It was opened only after its connect timeout.
    public static let late = CloseReason(kind: .late)

    /// Nobody used it for ``PoolConfiguration/idleTimeout``.
    public static let idleTimedOut = CloseReason(kind: .idleTimedOut)
    /// It lived for ``PoolConfiguration/maximumLifetime``, less its share of the jitter.
    public static let lifetimeOver = CloseReason(kind: .lifetimeOver)
    /// It was leased ``PoolConfiguration/maximumUses`` times.
    public static let usedUp = CloseReason(kind: .usedUp)
    /// Validating it, recycling it or a hook failed, or took too long.
    public static let unfit = CloseReason(kind: .unfit)
    /// Its lease was detached: it is open, but the pool has nothing to do with it any more.
    public static let detached = CloseReason(kind: .detached)
    /// Another pool of the same ``ConnectionBudget`` needed the place.
    public static let budget = CloseReason(kind: .budget)
    /// Its member was taken out of the group.
    public static let removed = CloseReason(kind: .removed)

    /// The reason as a word.
    public var description: String { kind.rawValue }
}

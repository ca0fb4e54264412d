// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// What a caller asks of a pool.
public struct AcquireRequest: Sendable {
    /// A member that serves any of these will do. Default: ``ServiceClass/all``.
    public var wants: ServiceClass

    /// Taken instead while *no* member serves any of ``wants``. A waiting request is served by whichever comes first.
    /// Default: none.
    public var fallback: ServiceClass

    /// Only this member (which must serve ``wants``, or ``fallback``, all the same). Default: any.
    public var member: MemberID?

    /// When to give up; one deadline for everything (waiting, connecting, checking). Default `nil`: now plus the pool's
    /// acquire timeout. A deadline in the past takes an idle connection or fails at once.
    public var deadline: ContinuousClock.Instant? {
        get { moment?.instant }
        set { moment = newValue.map { Moment($0) } }
    }

    /// ``deadline``, in the pool's time.
    @usableFromInline var moment: Duration?

    /// Prefers idle connections of this affinity (``ConnectionStrategy/affinity(of:)``) on the chosen member. Default 0:
    /// no preference.
    public var affinity: Int

    /// What a failed connect means for this request. Default `nil`: what the group's configuration says.
    public var connectFailurePolicy: ConnectFailurePolicy?

    /// Where in the source the connection is asked for; it is told of in timeout errors and leak reports. Default `nil`:
    /// where the pool's method was called.
    public var site: AcquireSite?

    /// A request without a deadline of its own; every part has a default.
    @inlinable
    public init(
        wants: ServiceClass = .all,
        fallback: ServiceClass = [],
        member: MemberID? = nil,
        affinity: Int = 0
    ) {
        self.wants = wants
        self.fallback = fallback
        self.member = member
        self.moment = nil
        self.affinity = affinity
        self.connectFailurePolicy = nil
        self.site = nil
    }

    /// A request; every part has a default.
    public init(
        wants: ServiceClass = .all,
        fallback: ServiceClass = [],
        member: MemberID? = nil,
        deadline: ContinuousClock.Instant?,
        affinity: Int = 0
    ) {
        self.init(wants: wants, fallback: fallback, member: member, affinity: affinity)
        self.deadline = deadline
    }
}

/// A member of one ``PoolGroup``; of no use in another.
public struct MemberID: Sendable, Hashable {
    let index: Int
    let group: ObjectIdentifier
}

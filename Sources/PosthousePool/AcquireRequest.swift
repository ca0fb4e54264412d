// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// What a caller asks of a pool.
public struct AcquireRequest: Sendable {
    /// A member that serves any of these will do. Default: ``ServiceClass/all``.
    public var wants: ServiceClass

    /// Taken instead while *no* member that may serve the request (``member``, ``filter``) serves any of ``wants``. A waiting
    /// request is served by whichever comes first. Default: none.
    public var fallback: ServiceClass

    /// Taken instead while no such member serves any of ``fallback`` either: the first step that one serves. Default: none.
    public var further: ServiceOrder

    /// Only this member (which must serve ``wants``, or a fallback, all the same). Default: any.
    public var member: MemberID?

    /// The member to be served by if there is the choice.
    ///
    /// An idle connection of it is taken first. Has it none, one of another member is taken at once, and one is opened there
    /// for later if it has room. If none is idle anywhere, a connection is opened there rather than elsewhere, and the request
    /// is served by whatever comes first: a preference never makes it wait. Default: the member with the most free capacity.
    public var prefers: MemberID?

    /// Only the members that this filter has at the moment; that may change while the request waits. Such a request takes the
    /// pool's lock even if a connection is idle. Default: all.
    public var filter: MemberFilter?

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
        self.further = ServiceOrder()
        self.member = member
        self.prefers = nil
        self.filter = nil
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

/// The members of one ``PoolGroup`` that may serve some requests, changeable while these wait; of no use in another group.
///
/// Made by ``PoolGroup/addFilter(_:)``.
public struct MemberFilter: Sendable, Hashable {
    let id: FilterID
    let group: ObjectIdentifier
}

extension AcquireRequest {
    /// What it is served by, of what is offered.
    @inline(__always)
    func active(offered: ServiceClass) -> ServiceClass {
        ServiceOrder.active(wants, fallback, further, offered: offered)
    }
}

// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// Which hosts may serve, and in which order of preference: libpq's `target_session_attrs`, and chains of them.
///
/// ```swift
/// let rows = try await cluster.withHost(.preferStandby) { db in try await db.query("SELECT count(*) FROM stock") }
/// let copy = try await cluster.withHost([.standby, .readWrite]) { db in try await db.query(report) }
/// ```
/// A target is taken while no host serves one before it. A request that waits takes whichever comes first.
public struct HostTarget: Sendable, Hashable, ExpressibleByArrayLiteral {
    /// The services of the hosts that may serve, the preferred ones first.
    public let services: ServiceOrder

    private init(services: ServiceOrder) { self.services = services }

    /// Any host.
    public static let any = HostTarget(services: [[.primary, .replica, .readOnlyPrimary]])
    /// The host that accepts writes.
    public static let readWrite = HostTarget(services: [.primary])
    /// A host whose sessions are read-only: a replica, or a primary whose transactions are read-only by default.
    public static let readOnly = HostTarget(services: [.reads])
    /// A host that is not in recovery, be it read-only by default or not.
    public static let primary = HostTarget(services: [[.primary, .readOnlyPrimary]])
    /// A host in recovery.
    public static let standby = HostTarget(services: [.replica])
    /// A host in recovery; while there is none, any host.
    public static let preferStandby = HostTarget([.standby, .any] as [HostTarget])

    /// Several targets, the preferred one first; at least one.
    public init(_ targets: some Sequence<HostTarget>) {
        self.init(services: ServiceOrder(targets.flatMap(\.services.steps)))
    }

    /// Several targets, the preferred one first; at least one.
    public init(arrayLiteral targets: HostTarget...) { self.init(targets) }

    /// A value of libpq's `target_session_attrs`: `any`, `read-write`, `read-only`, `primary`, `standby`, `prefer-standby`.
    ///
    /// - Returns: `nil` for any other text.
    public init?(targetSessionAttributes: String) {
        switch targetSessionAttributes {
        case "any": self = .any
        case "read-write": self = .readWrite
        case "read-only": self = .readOnly
        case "primary": self = .primary
        case "standby": self = .standby
        case "prefer-standby": self = .preferStandby
        default: return nil
        }
    }
}

extension AcquireRequest {
    /// A request for hosts that serve this, in this order.
    init(_ target: HostTarget) {
        var steps = target.services.steps[...]
        self.init(wants: steps.popFirst() ?? [], fallback: steps.popFirst() ?? [])
        further = ServiceOrder(steps)
    }

    /// What it may be served by, sooner or later.
    var accepted: ServiceClass { wants.union(fallback).union(further.all) }

    /// The same, in the order of preference.
    var order: ServiceOrder { ServiceOrder([wants, fallback] + further.steps) }
}

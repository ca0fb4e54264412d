// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// The cluster as this process sees it at one moment.
public struct ClusterSnapshot: Sendable {
    /// One host.
    public struct Host: Sendable {
        /// "host:port".
        public var host: String
        /// Whether it can be used.
        public var state: HostState
        /// What it is now; a quarantined host keeps the role it claims.
        public var role: HostRole
        /// Why it is in this state, where that is not plain.
        public var reason: String?
        /// What it serves: writes, reads, or nothing.
        public var serves: ServiceClass
        /// It gets no new work, because ``Cluster/drainHost(_:)`` said so.
        public var isDrained: Bool
        /// It could serve reads, but went out several times lately, and must answer for a while first.
        public var isHeldDown: Bool
        /// How much of its share of the reads it is to get, from 0.1 to 1: grows over 10 s when it has come back. Once all
        /// hosts have the same weight it makes no difference.
        public var slowStartWeight: Double
        /// Its last answer, which may be old.
        public var report: HostReport?
        /// When it last answered.
        public var answeredAt: ContinuousClock.Instant?
        /// How far it is behind the primary. Replicas only; `nil` where it cannot be told.
        public var lag: ReplicaLag?
        /// How long its last health check took.
        public var responseTime: Duration?
        /// The median over the last health checks.
        public var medianResponseTime: Duration?
        /// Its pool.
        public var pool: PoolStatus
    }

    /// All hosts, in the configured order.
    public var hosts: [Host]
    /// "host:port" of the host that takes the writes.
    public var primary: String?
    /// The system identifier that hosts must have to belong.
    public var systemIdentifier: UInt64?
    /// The highest timeline seen; nothing is sent to a primary below it.
    public var timeline: UInt32?
    /// How firmly a stale primary can be kept out.
    public var fenceLevel: FenceLevel
    /// Requests that wait for a connection.
    public var waiting: Int
    /// Whether ``Cluster/pauseWrites(timeout:_:)`` holds writes back at this moment.
    public var writesArePaused = false
    /// How the cluster gets on with its source; `nil` if it has none.
    public var source: SourceStatus?

    /// Hosts that take writes: none or one.
    public var primaries: [Host] { hosts.filter { $0.serves.contains(.primary) } }
    /// Hosts that take reads.
    public var replicas: [Host] { hosts.filter { !$0.serves.isDisjoint(with: .reads) } }
}

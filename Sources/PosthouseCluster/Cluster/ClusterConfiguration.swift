// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// How a cluster keeps its connections and watches its hosts.
public struct ClusterConfiguration: Sendable {
    /// The cluster's name in logs and task names. Default: "posthouse".
    public var name: String
    /// The pool of each host: its limits hold per host. Default: at most 10 connections, made on demand.
    public var pool: PoolConfiguration
    /// How long ``Cluster/write(timeout:fileID:line:_:)``,
    /// ``Cluster/read(fallbackPrimary:primaryAsReplicaWeight:timeout:fileID:line:_:)`` and
    /// ``Cluster/acquire(readOnly:fallbackPrimary:primaryAsReplicaWeight:timeout:fileID:line:)`` wait for a connection: for the role to appear, for a free
    /// connection, for connecting, all together. Default: 5 s.
    public var acquireTimeout: Duration
    /// How many requests may wait for a connection to come back, or for a host that has the role; one more fails at once
    /// with ``ClusterError/Code/exhausted``. Default: no limit.
    public var maximumWaiters: Int?
    /// When connects to every host that could serve a request have failed for so long, and nothing is open there, it fails
    /// at once with ``ClusterError/Code/connectFailed`` instead of waiting until its deadline. While no host has the role,
    /// requests wait. Default: they wait.
    public var failFastAfter: Duration?
    /// Sheds load when requests wait for too long, with ``ClusterError/Code/overloaded``. Default: each waits until its
    /// deadline.
    public var overload: OverloadControl?
    /// A limit on the connections of all hosts together, which other clusters and pools may share. The monitors' sessions,
    /// one for each host, do not count. Default: only the limits of ``pool`` hold, for each host.
    public var budget: ConnectionBudget?
    /// The time between two health checks of a host while all is well. Default: 1 s.
    public var refreshDelay: Duration
    /// The most a health check may take, connecting included. Default: 1 s. Both: a day at most.
    public var refreshTimeout: Duration
    /// Whether reads go to the primary while no replica is there. Default: false.
    public var fallbackPrimary: Bool
    /// How far behind replicas may be that serve reads. Default: however far.
    public var staleness: StalenessPolicy?
    /// Who decides when a higher timeline appears although the primary still answers. Default: the higher timeline wins.
    public var fencing: FencingPolicy
    /// The probability that a read goes to the primary, 0...1; 1 = all reads. Above 0 primary and replicas stand in for each
    /// other: while the one that was drawn is not there, the other serves at once. Default: 0.
    public var primaryAsReplicaWeight: Double
    /// Which of several hosts that may serve is to. Default: ``BalancingPolicy/greedy``, the one with the most free
    /// connections.
    public var balancing: any BalancingPolicy
    /// The hosts' shares ("host:port": weight), for every policy. A host of weight 0 serves only if there is no other one, and
    /// requests that would have to wait otherwise. Default: 1 each.
    public var hostWeights: [String: Double]
    /// The zone (data centre, availability zone) where this process runs. While a host of this zone may serve, none of another
    /// one is chosen; it still serves what would have to wait otherwise. Default: no zone.
    public var zone: String?
    /// The hosts' zones ("host:port": zone). Default: none is known.
    public var hostZones: [String: String]
    /// How many response times of health checks the median is taken over. Default: 128.
    public var stopwatchWindowSize: Int
    /// Seeds the choice among equally good hosts and the back-off's jitter, for tests and simulations. Default: random.
    public var seed: UInt64?
    /// How long the first election waits for hosts that do not answer, ``refreshTimeout`` at most; longer by as much as this
    /// process could not run, and up to 3 s more where replicas follow a host that was not heard. Default: 500 ms.
    package var electionGrace: Duration = .milliseconds(500)
    /// The raw value of the topology's guards that a simulation leaves out, to see that they would be missed.
    package var guardsLeftOut: UInt32 = 0
    /// Told of each step of the topology as it is taken, between two actions too. For simulations.
    package var stepObserver: (@Sendable (TopologyStep) -> Void)?

    /// Makes a configuration with the defaults.
    public init(
        name: String = "posthouse",
        pool: PoolConfiguration = PoolConfiguration(),
        acquireTimeout: Duration = .seconds(5),
        maximumWaiters: Int? = nil,
        failFastAfter: Duration? = nil,
        overload: OverloadControl? = nil,
        budget: ConnectionBudget? = nil,
        refreshDelay: Duration = .seconds(1),
        refreshTimeout: Duration = .seconds(1),
        fallbackPrimary: Bool = false,
        primaryAsReplicaWeight: Double = 0,
        balancing: any BalancingPolicy = .greedy,
        hostWeights: [String: Double] = [:],
        zone: String? = nil,
        hostZones: [String: String] = [:],
        staleness: StalenessPolicy? = nil,
        fencing: FencingPolicy = .follow,
        stopwatchWindowSize: Int = 128,
        seed: UInt64? = nil
    ) {
        self.name = name
        self.pool = pool
        self.acquireTimeout = acquireTimeout
        self.maximumWaiters = maximumWaiters
        self.failFastAfter = failFastAfter
        self.overload = overload
        self.budget = budget
        self.refreshDelay = refreshDelay
        self.refreshTimeout = refreshTimeout
        self.fallbackPrimary = fallbackPrimary
        self.primaryAsReplicaWeight = primaryAsReplicaWeight
        self.balancing = balancing
        self.hostWeights = hostWeights
        self.zone = zone
        self.hostZones = hostZones
        self.staleness = staleness
        self.fencing = fencing
        self.stopwatchWindowSize = stopwatchWindowSize
        self.seed = seed
    }

    private static let longestTime = Duration.seconds(86_400)

    /// How long an answer speaks for its host: twice ``refreshDelay`` and three times ``refreshTimeout``, at least 2 s; with
    /// the defaults 5 s.
    ///
    /// By then a monitor has a newer one, or a proof that there is none. A host whose last answer is older serves nothing,
    /// unless it goes on answering users: then twelve times as long. Times in which this process could not run do not count.
    public var evidenceLife: Duration { max(refreshDelay * 2 + refreshTimeout * 3, .seconds(2)) }

    /// What is wrong with this configuration, or `nil`.
    var complaint: String? {
        if acquireTimeout < .zero { return "acquireTimeout must not be negative" }
        if refreshDelay < CheckSchedule.leastGap { return "refreshDelay must be at least \(CheckSchedule.leastGap)" }
        if refreshTimeout <= .zero { return "refreshTimeout must be positive" }
        if max(refreshDelay, refreshTimeout) > Self.longestTime {
            return "refreshDelay and refreshTimeout must be at most a day"
        }
        if let complaint = staleness?.limit.complaint { return complaint }
        if !(0...1).contains(primaryAsReplicaWeight) { return "primaryAsReplicaWeight must be in 0...1" }
        if let (host, _) = hostWeights.first(where: { !$0.value.isFinite || $0.value < 0 }) {
            return "the weight of \(host) must be finite and not negative"
        }
        if stopwatchWindowSize < 1 { return "stopwatchWindowSize must be at least 1" }
        return nil
    }
}

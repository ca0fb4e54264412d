// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// Chooses which of several hosts should serve a request. Own policies conform to this.
///
/// The choice is a preference: a request never waits for the chosen host while another one could serve it at once. If the
/// chosen host has no idle connection, another host's is taken and one is opened there for the next request.
///
/// A policy is asked for each connection, by many threads at once, and only if there is a choice.
public protocol BalancingPolicy: Sendable {
    /// Whether the cluster measures how long statements take and how long connections are used, and counts those in use, for
    /// this policy (``BalancingCandidate/averageResponse``, ``BalancingCandidate/averageUse``, ``BalancingCandidate/inUse``).
    /// Costs two clock reads and an allocation a lease, and two clock reads a statement. Default: false.
    var measuresUse: Bool { get }

    /// Chooses one of the candidates.
    ///
    /// - Parameters:
    ///   - candidates: The hosts that may serve the request, in the order they were configured; at least two. Where there are
    ///     zones, those of the client's zone only, while there is one. None of weight 0 beside others.
    ///   - services: What of theirs the request is served by, for policies that keep count by that.
    ///   - random: Uniform in 0...1. All of a policy's chance comes from here, so that it can be replayed.
    /// - Returns: An index in `candidates`. `nil`, or one that is out of range, leaves the choice to the pool: the host with
    ///   the most free connections.
    func choose(
        among candidates: [BalancingCandidate],
        for services: ServiceClass,
        random: () -> Double
    ) -> Int?
}

extension BalancingPolicy {
    /// Nothing is measured.
    public var measuresUse: Bool { false }
}

/// A host that may serve a request, as far as a ``BalancingPolicy`` may want to know it.
public struct BalancingCandidate: Sendable {
    /// "host:port".
    public var host: String
    /// Its share among its like (``ClusterConfiguration/hostWeights``). Positive, unless it is 0 for all candidates.
    public var weight: Double
    /// How much of its share it is to get: 1, but for a host that came back a while ago, whose caches are cold and whose
    /// connections are yet to be opened. Then it grows evenly from 0.1 to 1 in 10 s. Only the ratios among the candidates count.
    public var slowStart: Double
    /// Its zone, if it was told.
    public var zone: String?
    /// What it serves.
    public var serves: ServiceClass
    /// Connections that are idle or could still be opened within the pool's size, as of a moment ago. Not positive where all
    /// are in use, or where connecting fails.
    public var free: Int
    /// The median response time of its last health checks (``ClusterConfiguration/stopwatchWindowSize``); nil before the first.
    public var medianCheck: Duration?
    /// A moving average of the times in which it answered statements, in which each one counts for a fifth. Only if the policy
    /// measures use, and the driver measures answers; nil before the first.
    public var averageResponse: Duration?
    /// A moving average of how long its connections were in use at a time, in which each use counts for a fifth. Only if the
    /// policy measures use; nil before the first end of one.
    public var averageUse: Duration?
    /// How many of its connections are in use. Only if the policy measures use.
    public var inUse: Int

    /// Makes a candidate, for tests of policies.
    public init(
        host: String,
        weight: Double = 1,
        slowStart: Double = 1,
        zone: String? = nil,
        serves: ServiceClass = .replica,
        free: Int = 0,
        medianCheck: Duration? = nil,
        averageResponse: Duration? = nil,
        averageUse: Duration? = nil,
        inUse: Int = 0
    ) {
        self.host = host
        self.weight = weight
        self.slowStart = slowStart
        self.zone = zone
        self.serves = serves
        self.free = free
        self.medianCheck = medianCheck
        self.averageResponse = averageResponse
        self.averageUse = averageUse
        self.inUse = inUse
    }
}

extension [BalancingCandidate] {
    /// The indices of those that take part this time, for policies that compare: a host that came back is skipped as often as
    /// its share is short of the others'. Nothing is drawn if all are warm.
    func partakers(random: () -> Double) -> [Int] {
        let most = reduce(0) { Swift.max($0, $1.slowStart) }
        return indices.filter { self[$0].slowStart >= most || random() * most < self[$0].slowStart }
    }
}

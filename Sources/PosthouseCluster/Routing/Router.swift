// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import PosthousePool
public import Synchronization

/// Says which host a request should prefer. It knows what its hosts serve from the pool, which is where that holds.
@usableFromInline
final class Router<Connection: Sendable>: Sendable {
    /// What it keeps for one host.
    struct Host: Sendable {
        let label: String
        let member: MemberID
        let weight: Double
        let zone: String?
        let gauge: HostGauge
        var medianCheck: Duration?
        var slowStart = SlowStart()
    }

    private let group: PoolGroup<Connection>
    private let policy: any BalancingPolicy
    private let weights: [String: Double]
    private let zone: String?
    private let zones: [String: String]
    private let clock: any ClusterClock
    private let random: @Sendable () -> Double
    let hosts = Guarded<[Host]>([])
    /// Whether there is nothing to add to the pool's own choice among hosts that are warm.
    @usableFromInline let isPlain: Bool
    /// Whether a host that came back is still to get less than its share. Written with the hosts' lock held.
    @usableFromInline let isWarming = Atomic(false)
    /// Whether there is nothing to add to the pool's own choice now. Costs one load.
    @inlinable var isNeutral: Bool { isPlain && !isWarming.load(ordering: .relaxed) }
    /// Whether the medians of health checks are looked at.
    var wantsMedians: Bool { !isPlain }
    /// Whether uses are measured.
    @usableFromInline let measuresUse: Bool

    init(
        _ configuration: ClusterConfiguration,
        group: PoolGroup<Connection>,
        clock: any ClusterClock,
        random: @escaping @Sendable () -> Double
    ) {
        self.group = group
        self.clock = clock
        self.random = random
        policy = configuration.balancing
        weights = configuration.hostWeights
        zone = configuration.zone
        zones = configuration.hostZones
        isPlain = policy is GreedyBalancing && weights.isEmpty && zone == nil
        measuresUse = policy.measuresUse
    }

    /// A host of the cluster, in the order of the configuration.
    func add(_ label: String, _ member: MemberID, gauge: HostGauge = HostGauge()) {
        let host = Host(
            label: label,
            member: member,
            weight: weights[label] ?? 1,
            zone: zones[label],
            gauge: gauge
        )
        hosts.withLock { $0.append(host) }
    }

    /// The median of its health checks.
    func note(median: Duration, of member: MemberID) {
        hosts.withLock { hosts in
            guard let index = hosts.firstIndex(where: { $0.member == member }) else { return }
            hosts[index].medianCheck = median
        }
    }

    /// How far the hosts are that came back, in the order in which they were added.
    func note(_ slowStarts: [SlowStart]) {
        hosts.withLock { hosts in
            var hasChanged = false
            for (index, slowStart) in zip(hosts.indices, slowStarts) where hosts[index].slowStart != slowStart {
                hosts[index].slowStart = slowStart
                hasChanged = true
            }
            if hasChanged { noteWarmth(of: hosts, at: clock.now) }
        }
    }

    private func noteWarmth(of hosts: [Host], at now: ContinuousClock.Instant) {
        isWarming.store(hosts.contains { $0.slowStart.grows(at: now) }, ordering: .relaxed)
    }

    /// The host of that name.
    func member(named label: String) -> MemberID? {
        hosts.withLock { hosts in hosts.first { $0.label == label }?.member }
    }

    /// Whether some host serves that now.
    func offers(_ services: ServiceClass) -> Bool {
        hosts.withLock { $0 }.contains { !group.glance(at: $0.member).serves.isDisjoint(with: services) }
    }

    // MARK: - Choosing

    /// The host that should serve the request if there is a choice.
    @usableFromInline
    func preference(of request: AcquireRequest) -> MemberID? {
        if request.member != nil { return nil }
        let now = isWarming.load(ordering: .relaxed) ? clock.now : nil
        let hosts = hosts.withLock { hosts in
            // Nobody else ends it: shares grow by themselves.
            if let now { noteWarmth(of: hosts, at: now) }
            return hosts
        }
        var looks = hosts.map { ($0, group.glance(at: $0.member)) }
        let offered = looks.reduce(into: ServiceClass()) { $0.formUnion($1.1.serves) }
        guard let active = request.order.steps.first(where: { !$0.isDisjoint(with: offered) }) else { return nil }
        keep(&looks) { !$1.serves.isDisjoint(with: active) }
        // What is left when it would be nobody does not count.
        keep(&looks) { host, _ in host.weight > 0 }
        if let zone { keep(&looks) { host, _ in host.zone == zone } }
        if looks.count == 1 { return looks[0].0.member }
        let candidates = looks.map { host, glance in
            BalancingCandidate(
                host: host.label,
                weight: host.weight,
                slowStart: now.map { host.slowStart.weight(at: $0) } ?? 1,
                zone: host.zone,
                serves: glance.serves,
                free: glance.free,
                medianCheck: host.medianCheck,
                averageResponse: measuresUse ? host.gauge.averageResponse : nil,
                averageUse: measuresUse ? host.gauge.averageUse : nil,
                inUse: measuresUse ? host.gauge.inUse : 0
            )
        }
        guard !candidates.isEmpty, let choice = policy.choose(among: candidates, for: active, random: random),
            looks.indices.contains(choice)
        else { return nil }
        return looks[choice].0.member
    }

    /// Leaves those that `isBetter` says, if there are any.
    private func keep(
        _ looks: inout [(Host, MemberGlance)],
        where isBetter: (Host, MemberGlance) -> Bool
    ) {
        let better = looks.filter { isBetter($0.0, $0.1) }
        if !better.isEmpty { looks = better }
    }

    /// Whether a read goes to the primary that may, with this probability.
    func drawsPrimary(_ probability: Double) -> Bool {
        // The draw may be 1 itself.
        probability >= 1 || random() < probability
    }

    // MARK: - Measuring

    /// A connection of the host is used from now on; nil if nobody wants to know.
    @usableFromInline
    func begin(on member: MemberID) -> HostUse? {
        guard measuresUse else { return nil }
        let gauge = hosts.withLock { hosts in hosts.first { $0.member == member }?.gauge }
        return gauge.map { HostUse(of: $0, clock: clock) }
    }
}

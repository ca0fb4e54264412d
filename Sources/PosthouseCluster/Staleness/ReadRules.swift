// SPDX-License-Identifier: Apache-2.0

/// What a read asks of the host that serves it, beyond its role.
struct ReadRule: Hashable, Sendable {
    var limit: LagLimit
    /// Whether the primary serves while no replica keeps the limit.
    var fallbackPrimary: Bool
    /// Whether replicas serve that do not keep the limit, while nobody else does.
    var usesStaleReplicas: Bool
}

/// Which hosts may serve reads under each rule that is in use: a pure value.
///
/// A replica's state under one rule:
///
/// | state    | event                                             | next     |
/// |----------|---------------------------------------------------|----------|
/// | fresh    | beyond the limit                                  | doubtful |
/// | doubtful | within the limit                                  | fresh    |
/// | doubtful | beyond it still, the grace period is over         | stale    |
/// | stale    | within three quarters of the limit                | fresh    |
/// | any      | its lag is not known any more, or it is no replica | stale   |
///
/// A rule's hosts are the fresh replicas; if there is none and the rule says so, the primary; if there is none either and the
/// rule says so, all replicas.
struct ReadRules: Sendable {
    /// What is known of one host.
    struct Host: Sendable, Hashable {
        var isPrimary: Bool
        var isReplica: Bool
        var lag: ReplicaLag?
    }

    fileprivate enum Freshness: Sendable {
        case fresh
        case doubtful(since: ContinuousClock.Instant)
        case stale
    }

    fileprivate struct Entry: Sendable {
        var rule: ReadRule
        var freshness: [Freshness?] = []
        var hosts: Set<Int> = []
        var users = 0
        var lastUse: ContinuousClock.Instant
    }

    private var entries: [Int: Entry] = [:]
    private var numbers: [ReadRule: Int] = [:]
    private var nextNumber = 0
    /// How many rules that nobody waits under are kept, with what is known of the replicas' past.
    static let kept = 32

    var isEmpty: Bool { entries.isEmpty }

    /// Begins to use a rule.
    ///
    /// - Returns: Its number, the hosts that may serve under it now, and rules that were given up for it.
    mutating func use(
        _ rule: ReadRule,
        hosts: [Host],
        now: ContinuousClock.Instant
    ) -> (number: Int, hosts: Set<Int>, gone: [Int]) {
        if let number = numbers[rule] {
            entries[number]!.users += 1
            entries[number]!.lastUse = now
            return (number, entries[number]!.hosts, [])
        }
        let gone = makeRoom()
        let number = nextNumber
        nextNumber += 1
        var entry = Entry(rule: rule, users: 1, lastUse: now)
        entry.judge(hosts, now: now)
        entries[number] = entry
        numbers[rule] = number
        return (number, entry.hosts, gone)
    }

    func hosts(of number: Int) -> Set<Int> { entries[number]?.hosts ?? [] }

    /// A request under the rule is over.
    mutating func endUse(_ number: Int) {
        guard let users = entries[number]?.users else { return }
        entries[number]!.users = users - 1
    }

    /// The rules whose hosts are others now.
    mutating func reconsider(_ hosts: [Host], now: ContinuousClock.Instant) -> [(number: Int, hosts: Set<Int>)] {
        var changed: [(Int, Set<Int>)] = []
        for number in entries.keys.sorted() {
            let before = entries[number]!.hosts
            entries[number]!.judge(hosts, now: now)
            let after = entries[number]!.hosts
            if after != before { changed.append((number, after)) }
        }
        return changed
    }

    private mutating func makeRoom() -> [Int] {
        guard entries.count >= Self.kept else { return [] }
        let idle = entries.filter { $0.value.users == 0 }
        guard let oldest = idle.min(by: { ($0.value.lastUse, $0.key) < ($1.value.lastUse, $1.key) }) else { return [] }
        entries[oldest.key] = nil
        numbers[oldest.value.rule] = nil
        return [oldest.key]
    }
}

extension ReadRules.Entry {
    fileprivate mutating func judge(_ hosts: [ReadRules.Host], now: ContinuousClock.Instant) {
        while freshness.count < hosts.count { freshness.append(nil) }
        for (index, host) in hosts.enumerated() {
            guard host.isReplica else {
                freshness[index] = nil
                continue
            }
            freshness[index] = next(freshness[index], host.lag, now: now)
        }
        let fresh = hosts.indices.filter { index in
            switch freshness[index] {
            case .fresh, .doubtful: true
            case .stale, nil: false
            }
        }
        if !fresh.isEmpty {
            self.hosts = Set(fresh)
        } else if rule.fallbackPrimary, let primary = hosts.firstIndex(where: \.isPrimary) {
            self.hosts = [primary]
        } else {
            self.hosts = rule.usesStaleReplicas ? Set(hosts.indices.filter { hosts[$0].isReplica }) : []
        }
    }

    private func next(
        _ state: ReadRules.Freshness?,
        _ lag: ReplicaLag?,
        now: ContinuousClock.Instant
    ) -> ReadRules.Freshness {
        guard let lag else { return .stale }
        switch state {
        case nil: return rule.limit.admits(lag) ? .fresh : .stale
        case .stale: return rule.limit.readmits(lag) ? .fresh : .stale
        case .fresh:
            if rule.limit.admits(lag) { return .fresh }
            return rule.limit.gracePeriod == .zero ? .stale : .doubtful(since: now)
        case .doubtful(let since):
            if rule.limit.admits(lag) { return .fresh }
            return since.duration(to: now) >= rule.limit.gracePeriod ? .stale : .doubtful(since: since)
        }
    }
}

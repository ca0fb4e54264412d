// SPDX-License-Identifier: Apache-2.0

/// Which hosts belong to the cluster, by what its source said: a pure value.
///
/// It takes what the source answered and how things stand in the cluster, and says whom to add, drain and remove. The rules
/// are those of ``SourceRules``.
///
/// ```
///            named                    missing often and long enough
/// (unknown) ───────► belongs ◄─────────────────────────────────────► drains ───► (unknown)
///                       ▲   named again                                    drained
/// ```
/// It knows only hosts that the source named; whoever else is in the cluster is none of its business.
struct HostRoster<Endpoint: Sendable & Hashable>: Sendable {
    /// What the cluster sees of a host.
    struct Sight: Sendable, Hashable {
        /// Whether it takes the writes.
        var isPrimary = false
        /// Whether it is used for anything.
        var isInUse = false
    }

    /// What to do, in this order.
    enum Action: Sendable, Hashable {
        /// A new host.
        case add(Endpoint, takesReads: Bool)
        /// Reads may go there from now on, or not.
        case allowReads(Endpoint, Bool)
        /// Nothing new is to go there; what runs goes on.
        case drain(Endpoint)
        /// It was drained and belongs again.
        case undrain(Endpoint)
        /// Nothing runs there any more, or its time is over.
        case remove(Endpoint)
    }

    private enum Standing {
        case belongs
        /// Missing from so many answers in a row, the first of them at this time.
        case missing(answers: Int, since: ContinuousClock.Instant)
        case drains(since: ContinuousClock.Instant)
    }

    private struct Entry {
        var standing = Standing.belongs
        var takesReads: Bool
    }

    private let rules: SourceRules
    private var entries: [Endpoint: Entry] = [:]
    /// So that the same answers lead to the same actions in the same order.
    private var order: [Endpoint] = []

    init(rules: SourceRules) {
        self.rules = rules
    }

    /// Hosts that were named and not removed since.
    var endpoints: [Endpoint] { order }

    /// Hosts that are being drained.
    var draining: [Endpoint] {
        order.filter { if case .drains = entries[$0]?.standing { true } else { false } }
    }

    /// The source answered.
    mutating func answered(
        _ hosts: [SourcedHost<Endpoint>],
        now: ContinuousClock.Instant,
        sight: (Endpoint) -> Sight
    ) -> [Action] {
        // A cluster without hosts is never what is meant.
        guard !hosts.isEmpty else { return [] }
        var actions: [Action] = []
        var named: Set<Endpoint> = []
        for host in hosts where named.insert(host.endpoint).inserted { take(host, into: &actions) }
        let isReplaceable = named.contains { sight($0).isInUse }
        for endpoint in order where !named.contains(endpoint) {
            miss(endpoint, now: now, mayGo: isReplaceable && !sight(endpoint).isPrimary, into: &actions)
        }
        return actions
    }

    /// Time has passed, or leases have ended.
    ///
    /// - Parameter isIdle: Whether nothing runs on the host.
    mutating func looked(now: ContinuousClock.Instant, isIdle: (Endpoint) -> Bool) -> [Action] {
        var actions: [Action] = []
        for endpoint in order {
            guard case .drains(let since)? = entries[endpoint]?.standing else { continue }
            guard isIdle(endpoint) || since.duration(to: now) >= rules.drainTimeout else { continue }
            entries[endpoint] = nil
            actions.append(.remove(endpoint))
        }
        order.removeAll { entries[$0] == nil }
        return actions
    }

    private mutating func take(_ host: SourcedHost<Endpoint>, into actions: inout [Action]) {
        guard let entry = entries[host.endpoint] else {
            entries[host.endpoint] = Entry(takesReads: host.takesReads)
            order.append(host.endpoint)
            actions.append(.add(host.endpoint, takesReads: host.takesReads))
            return
        }
        if case .drains = entry.standing { actions.append(.undrain(host.endpoint)) }
        if entry.takesReads != host.takesReads { actions.append(.allowReads(host.endpoint, host.takesReads)) }
        entries[host.endpoint] = Entry(takesReads: host.takesReads)
    }

    private mutating func miss(
        _ endpoint: Endpoint,
        now: ContinuousClock.Instant,
        mayGo: Bool,
        into actions: inout [Action]
    ) {
        let answers: Int
        let since: ContinuousClock.Instant
        switch entries[endpoint]?.standing {
        case .belongs: (answers, since) = (1, now)
        case .missing(let before, let start): (answers, since) = (before + 1, start)
        case .drains, nil: return
        }
        if mayGo, answers >= rules.absences, since.duration(to: now) >= rules.removalDelay {
            entries[endpoint]?.standing = .drains(since: now)
            actions.append(.drain(endpoint))
        } else {
            entries[endpoint]?.standing = .missing(answers: answers, since: since)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

extension ServiceClass {
    /// Served by the one host that accepts writes.
    public static let primary = ServiceClass(rawValue: 1)
    /// Served by hosts that answer reads.
    public static let replica = ServiceClass(rawValue: 2)
}

/// Who is in the cluster, who is the primary, and who is kept out: a pure value.
///
/// It takes what was seen (``Event``) and answers what to do (``Action``); it does no I/O, knows no clock and
/// holds no lock. Its states are ``HostState`` and ``HostRole`` for each host.
///
/// Invariants, checked by the model-based tests after every event:
/// 1. At most one host serves ``ServiceClass/primary``.
/// 2. No host below the highest timeline seen for the cluster's system identifier serves it.
/// 3. A quarantined, down, starting, frozen, misconfigured or unknown host serves nothing.
/// 4. A host of another system serves nothing.
/// 5. Suspicion alone changes no state and no service.
struct TopologyMachine: Sendable {
    /// What was seen.
    enum Event: Sendable, Hashable {
        /// The host answered a check.
        case reported(host: Int, HostReport)
        /// A check failed; `fresh` tells that it ran on a connection opened for it.
        case failed(host: Int, HostFailure, fresh: Bool)
        /// A connection noticed something that calls for a check.
        case suspected(host: Int, PassiveEvidence)
    }

    /// What to do about it, in this order.
    enum Action: Sendable, Hashable {
        /// The host serves these classes from now on.
        case serve(host: Int, ServiceClass)
        /// Nothing may be sent to the host any more, not even on leased connections.
        case fence(host: Int)
        /// The server run that the host's connections belong to is over: close them.
        case expire(host: Int)
        /// Check the host now.
        case check(host: Int)
        /// The primary is missing or in doubt: check all hosts quickly. Or it is not any more.
        case hunt(Bool)
        /// Tell the subscribers.
        case emit(ClusterEvent)
    }

    private(set) var hosts: [HostRecord]
    /// The elected primary's index.
    private(set) var primary: Int?
    private(set) var isHunting = true
    /// The cluster's identity: plurality of the hosts until more than half of them agree, then fixed.
    private(set) var systemIdentifier: UInt64?
    private var identityIsFixed = false
    /// The highest timeline seen, per system: never lowered.
    private var highestTimelines: [UInt64?: UInt32] = [:]
    private var primaryMissingSince: ContinuousClock.Instant?

    /// - Parameter labels: The hosts as "host:port", in the order of preference between equals.
    init(labels: [String]) {
        self.hosts = labels.map(HostRecord.init(label:))
    }

    /// The highest timeline known to exist in this cluster.
    var highestTimeline: UInt32? { highestTimelines[systemIdentifier] }

    /// How firmly a stale primary can be kept out, given what the primary tells.
    var fenceLevel: FenceLevel { primary.flatMap { hosts[$0].report?.fenceLevel } ?? .none }

    mutating func handle(_ event: Event, now: ContinuousClock.Instant) -> [Action] {
        var actions: [Action] = []
        switch event {
        case .reported(let host, let report):
            take(report, of: host, now: now, into: &actions)
        case .failed(let host, let failure, let fresh):
            take(failure, of: host, fresh: fresh, now: now, into: &actions)
        case .suspected(let host, let evidence):
            suspect(host, evidence, now: now, into: &actions)
        }
        settle(now: now, into: &actions)
        return actions
    }
}

// MARK: - Evidence

extension TopologyMachine {
    private mutating func take(
        _ report: HostReport,
        of host: Int,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        var report = report
        if let before = hosts[host].report, let run = report.incarnation, before.incarnation == run {
            // Within one run recovery only ends and timelines only grow: whatever says otherwise was overtaken.
            if !before.isInRecovery && report.isInRecovery { return }
            if let old = before.timeline, let new = report.timeline { report.timeline = max(old, new) }
        } else if let before = hosts[host].report, before.incarnation != nil, report.incarnation != nil {
            actions.append(.expire(host: host))
            actions.append(.emit(ClusterEvent(host: hosts[host].label, kind: .restarted, at: now)))
        }
        hosts[host].report = report
        hosts[host].reportedAt = now
        hosts[host].misses = 0
        hosts[host].isSuspected = false
        hosts[host].isAnswering = true
        hosts[host].failure = nil
        hosts[host].outage = nil
        settleIdentity()
        if let timeline = report.timeline {
            let system = report.systemIdentifier ?? systemIdentifier
            highestTimelines[system] = max(highestTimelines[system] ?? 0, timeline)
        }
    }

    private mutating func take(
        _ failure: HostFailure,
        of host: Int,
        fresh: Bool,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        switch failure.kind {
        case .local:
            return
        case .lost where !fresh:
            suspect(host, .connectionLost, now: now, into: &actions)
            return
        case .timedOut, .unreachable, .lost:
            hosts[host].misses += 1
            hosts[host].failure = failure
            guard hosts[host].misses >= 2, fresh else {
                // One silence is a suspicion; the proof is a second one, on a connection of its own.
                suspect(host, .silence, now: now, into: &actions)
                return
            }
            hosts[host].outage = failure.kind == .timedOut ? .frozen : .down
        case .refused:
            hosts[host].outage = .down
        case .starting:
            hosts[host].outage = .starting
        case .busy:
            hosts[host].outage = .busy
        case .misconfigured, .garbage:
            hosts[host].outage = .misconfigured
        }
        hosts[host].failure = failure
        hosts[host].isSuspected = false
        if hosts[host].outage == .down || hosts[host].outage == .starting {
            // The processes behind our connections are gone.
            if hosts[host].isAnswering { actions.append(.expire(host: host)) }
        }
        if hosts[host].outage != .busy { hosts[host].isAnswering = false }
    }

    private mutating func suspect(
        _ host: Int,
        _ evidence: PassiveEvidence,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        if !hosts[host].isSuspected {
            hosts[host].isSuspected = true
            // Silence is every slow query; it is worth a check, not a message.
            if evidence != .silence {
                actions.append(.emit(ClusterEvent(host: hosts[host].label, kind: .suspected(evidence), at: now)))
            }
        }
        actions.append(.check(host: host))
    }

    /// Counts which system the hosts belong to. Never waits: the first answer decides until a better count corrects it.
    private mutating func settleIdentity() {
        guard !identityIsFixed else { return }
        var counts: [UInt64: Int] = [:]
        var best: (identifier: UInt64, count: Int)?
        for host in hosts {
            guard let identifier = host.report?.systemIdentifier else { continue }
            counts[identifier, default: 0] += 1
        }
        for host in hosts {
            guard let identifier = host.report?.systemIdentifier, let count = counts[identifier] else { continue }
            if count > best?.count ?? 0 { best = (identifier, count) }
        }
        guard let best else { return }
        systemIdentifier = best.identifier
        identityIsFixed = best.count * 2 > hosts.count
    }
}

// MARK: - Verdict

extension TopologyMachine {
    private struct Verdict {
        var state: HostState
        var role: HostRole = .unknown
        var reason: String?
        var serves: ServiceClass = []
    }

    /// Judges all hosts by the evidence, elects the primary, and says what changed.
    private mutating func settle(now: ContinuousClock.Instant, into actions: inout [Action]) {
        var verdicts = hosts.map(judge)
        let elected = elect(&verdicts)
        // Take away before giving: never two hosts in the write set, not even between two actions.
        let order = verdicts.indices.sorted { rank(verdicts[$0]) < rank(verdicts[$1]) }
        for index in order { apply(verdicts[index], to: index, now: now, into: &actions) }
        announce(elected, now: now, into: &actions)

        let hunts = primary.map { hosts[$0].isSuspected } ?? true
        if hunts != isHunting {
            isHunting = hunts
            actions.append(.hunt(hunts))
        }
    }

    private func rank(_ verdict: Verdict) -> Int {
        verdict.state == .quarantined ? 0 : verdict.serves.contains(.primary) ? 2 : 1
    }

    private func judge(_ host: HostRecord) -> Verdict {
        if let outage = host.outage {
            guard outage == .busy else { return Verdict(state: outage, reason: host.failure?.reason) }
            // Alive, only full: what its open connections serve, they go on serving.
            guard host.isAnswering, host.report != nil else {
                return Verdict(state: .busy, reason: host.failure?.reason)
            }
            var verdict = judgeReport(of: host)
            if verdict.state == .up { verdict.state = .busy }
            verdict.reason = verdict.reason ?? host.failure?.reason
            return verdict
        }
        guard host.isAnswering else { return Verdict(state: .unknown, reason: host.failure?.reason) }
        return judgeReport(of: host)
    }

    private func judgeReport(of host: HostRecord) -> Verdict {
        guard let report = host.report else { return Verdict(state: .unknown) }
        if let system = report.systemIdentifier, let ours = systemIdentifier, system != ours {
            let reason = "another cluster: its system identifier is \(system), this cluster's is \(ours)"
            return Verdict(state: .quarantined, role: claimedRole(report), reason: reason)
        }
        if report.isInRecovery { return Verdict(state: .up, role: .replica, serves: .replica) }
        if let timeline = report.timeline, let highest = highestTimeline, timeline < highest {
            let reason = "stale primary: it is on timeline \(timeline), the cluster is on \(highest)"
            return Verdict(state: .quarantined, role: .primary, reason: reason)
        }
        if report.isReadOnly { return Verdict(state: .up, role: .readOnlyPrimary, serves: .replica) }
        return Verdict(state: .up, role: .primary, serves: .primary)
    }

    private func claimedRole(_ report: HostReport) -> HostRole {
        report.isInRecovery ? .replica : report.isReadOnly ? .readOnlyPrimary : .primary
    }

    /// Leaves the primary's services to one host only: a known timeline before an unknown one, then the incumbent.
    /// Several without an incumbent are a split brain that nothing here can decide, and none is used.
    private func elect(_ verdicts: inout [Verdict]) -> Int? {
        var candidates = verdicts.indices.filter { verdicts[$0].serves.contains(.primary) }
        guard candidates.count > 1 else { return candidates.first }
        let known = candidates.filter { hosts[$0].report?.timeline != nil }
        let winner: Int?
        if known.count == 1 {
            winner = known[0]
        } else if let primary, candidates.contains(primary), known.isEmpty || known.contains(primary) {
            winner = primary
        } else {
            winner = nil
        }
        candidates.removeAll { $0 == winner }
        for loser in candidates {
            let rival = winner ?? candidates.first { $0 != loser } ?? loser
            let reason =
                winner == nil
                ? "ambiguous: \(hosts[rival].label) claims to be the primary on the same timeline"
                : "second primary: \(hosts[rival].label) is the primary of this cluster"
            verdicts[loser] = Verdict(state: .quarantined, role: .primary, reason: reason)
        }
        return winner
    }

    private mutating func apply(
        _ verdict: Verdict,
        to index: Int,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        let before = hosts[index]
        hosts[index].state = verdict.state
        hosts[index].role = verdict.role
        hosts[index].reason = verdict.reason
        hosts[index].serves = verdict.serves
        func emit(_ kind: ClusterEvent.Kind) {
            actions.append(.emit(ClusterEvent(host: before.label, kind: kind, reason: verdict.reason, at: now)))
        }
        if verdict.state == .quarantined && before.state != .quarantined {
            actions.append(.fence(host: index))
        } else if verdict.serves != before.serves {
            actions.append(.serve(host: index, verdict.serves))
        }
        if verdict.state != before.state {
            emit(.stateChanged(from: before.state, to: verdict.state))
            if verdict.state == .quarantined { emit(.quarantined) }
        }
        if verdict.role != before.role { emit(.roleChanged(from: before.role, to: verdict.role)) }
    }

    private mutating func announce(_ elected: Int?, now: ContinuousClock.Instant, into actions: inout [Action]) {
        guard elected != primary else { return }
        if let lost = primary {
            if primaryMissingSince == nil { primaryMissingSince = now }
            actions.append(
                .emit(
                    ClusterEvent(host: hosts[lost].label, kind: .primaryLost, reason: hosts[lost].reason, at: now)
                )
            )
        }
        primary = elected
        guard let elected else { return }
        let kind = ClusterEvent.Kind.primaryElected(
            timeline: hosts[elected].report?.timeline,
            afterGap: primaryMissingSince.map { $0.duration(to: now) }
        )
        primaryMissingSince = nil
        actions.append(.emit(ClusterEvent(host: hosts[elected].label, kind: kind, at: now)))
    }
}

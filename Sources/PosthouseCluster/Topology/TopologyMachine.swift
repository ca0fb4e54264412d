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
/// 6. Whoever claimed to be the primary and is replaced, or is on a lower timeline, is fenced, whatever else is known of it.
/// 7. The first primary is elected when every host was heard of, or the grace for that is over.
struct TopologyMachine: Sendable {
    /// What was seen.
    enum Event: Sendable, Hashable {
        /// The host answered what it was asked at this time.
        case reported(host: Int, HostReport, asked: ContinuousClock.Instant)
        /// A new connection to the host's address reached another server than the checks do.
        case glimpsed(host: Int, HostReport)
        /// A check failed; `fresh` tells that it ran on a connection opened for it.
        case failed(host: Int, HostFailure, fresh: Bool)
        /// A connection noticed something that calls for a check.
        case suspected(host: Int, PassiveEvidence)
        /// The time is over that the first election gives to hosts that were not heard of.
        case graceEnded
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
        /// The next check is to open a session of its own.
        case renew(host: Int)
        /// Hosts that were not heard of hold the first election up: for so long only.
        case beginGrace
        /// The primary is missing or in doubt: check all hosts quickly. Or it is not any more.
        case hunt(Bool)
        /// Tell the subscribers.
        case emit(ClusterEvent)
    }

    private(set) var hosts: [HostRecord]
    /// The elected primary's index.
    private(set) var primary: Int?
    private(set) var isHunting = true
    /// A process that has just started knows nothing: the first server to claim that it is the primary may be a stale one,
    /// or a stranger. Once there was a primary, a better one is told by its timeline.
    private enum Election { case untried, inGrace, open }
    private var election = Election.untried
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
        case .reported(let host, let report, let asked):
            take(report, of: host, asked: asked, now: now, into: &actions)
        case .glimpsed(let host, let report):
            glimpse(report, of: host, now: now, into: &actions)
        case .graceEnded:
            election = .open
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
        asked: ContinuousClock.Instant,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        // What was asked before a host was proven to be out is no proof that it is back.
        if hosts[host].outage != nil, let failedAt = hosts[host].failedAt, asked < failedAt {
            return suspect(host, .silence, now: now, into: &actions)
        }
        var report = report
        if let before = hosts[host].report, let run = report.incarnation, let former = before.incarnation {
            if run == former {
                // Within one run recovery only ends and timelines only grow: whatever says otherwise was overtaken.
                if !before.isInRecovery && report.isInRecovery { return }
                if let old = before.timeline, let new = report.timeline { report.timeline = max(old, new) }
            } else {
                beginRun(of: host, after: before, now: now, into: &actions)
            }
        }
        hosts[host].report = report
        hosts[host].reportedAt = now
        hosts[host].misses = 0
        hosts[host].isSuspected = false
        hosts[host].isAnswering = true
        hosts[host].failure = nil
        hosts[host].outage = nil
        note(report)
    }

    /// Another server run answers. The sessions of a replica's former run may live on, if several share the address; those
    /// of a former primary, or of a server that was gone meanwhile, are dead or in the wrong place.
    private mutating func beginRun(
        of host: Int,
        after before: HostReport,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        if before.isInRecovery && hosts[host].outage == nil {
            actions.append(.expire(host: host))
        } else {
            actions.append(.fence(host: host))
            hosts[host].serves = []
        }
        actions.append(.emit(ClusterEvent(host: hosts[host].label, kind: .restarted, at: now)))
    }

    private mutating func glimpse(
        _ report: HostReport,
        of host: Int,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        if hosts[host].outage != nil {
            // No session of ours speaks for the former server.
            take(report, of: host, asked: now, now: now, into: &actions)
        } else {
            note(report)
            suspect(host, .connectionLost, now: now, into: &actions)
        }
        actions.append(.renew(host: host))
    }

    /// What a report tells of the cluster.
    private mutating func note(_ report: HostReport) {
        settleIdentity()
        guard let timeline = report.timeline else { return }
        let system = report.systemIdentifier ?? systemIdentifier
        highestTimelines[system] = max(highestTimelines[system] ?? 0, timeline)
    }

    private mutating func take(
        _ failure: HostFailure,
        of host: Int,
        fresh: Bool,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        if failure.kind != .local { hosts[host].failedAt = now }
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

    /// Counts which system the hosts belong to. The present answer stays unless another has more hosts, and for good once
    /// more than half of the hosts agree, or once all were heard of and there is a primary.
    private mutating func settleIdentity() {
        guard !identityIsFixed else { return }
        var counts: [UInt64: Int] = [:]
        for host in hosts {
            if let identifier = host.report?.systemIdentifier { counts[identifier, default: 0] += 1 }
        }
        var best = election == .open ? systemIdentifier : nil
        for host in hosts {
            guard let identifier = host.report?.systemIdentifier else { continue }
            if counts[identifier] ?? 0 > best.flatMap({ counts[$0] }) ?? 0 { best = identifier }
        }
        guard let best else { return }
        if systemIdentifier == nil {
            // Said by servers that keep their identity to themselves.
            highestTimelines[best] = [highestTimelines[best], highestTimelines[nil]].compactMap { $0 }.max()
        }
        systemIdentifier = best
        identityIsFixed = (counts[best] ?? 0) * 2 > hosts.count || (primary != nil && hosts.allSatisfy(\.isHeard))
    }
}

// MARK: - Verdict

extension TopologyMachine {
    private struct Verdict {
        var state: HostState
        var role: HostRole = .unknown
        var reason: String?
        var serves: ServiceClass = []
        var isFenced = false
        var isAlias = false
    }

    /// Judges all hosts by the evidence, elects the primary, and says what changed.
    private mutating func settle(now: ContinuousClock.Instant, into actions: inout [Action]) {
        var verdicts = hosts.map(judge)
        let elected = mayElect(verdicts, into: &actions) ? elect(&verdicts) : postpone(&verdicts)
        for index in verdicts.indices { verdicts[index].isFenced = mustFence(index, verdicts[index], elected) }
        // Take away before giving: never two hosts in the write set, not even between two actions.
        let order = verdicts.indices.sorted { rank(verdicts[$0]) < rank(verdicts[$1]) }
        for index in order { apply(verdicts[index], to: index, now: now, into: &actions) }
        announce(elected, now: now, into: &actions)
        if elected != nil, !identityIsFixed { settleIdentity() }

        let hunts = primary.map { hosts[$0].isSuspected } ?? true
        if hunts != isHunting {
            isHunting = hunts
            actions.append(.hunt(hunts))
        }
    }

    private func rank(_ verdict: Verdict) -> Int {
        verdict.isFenced ? 0 : verdict.serves.contains(.primary) ? 2 : 1
    }

    /// Whether nothing may be sent to the host any more, not even by those who hold a connection to it.
    private func mustFence(_ index: Int, _ verdict: Verdict, _ elected: Int?) -> Bool {
        if verdict.state == .quarantined { return true }
        // Also a host that is frozen, down or starting: what its connections send now may run when it is back.
        guard let report = hosts[index].report, !report.isInRecovery, verdict.serves.isEmpty, !verdict.isAlias else {
            return false
        }
        return isStale(report) || (elected != nil && elected != index)
    }

    private func isStale(_ report: HostReport) -> Bool {
        guard let timeline = report.timeline, let highest = highestTimeline else { return false }
        return timeline < highest
    }

    /// Whether the time has come for a first primary, or there was one before.
    private mutating func mayElect(_ verdicts: [Verdict], into actions: inout [Action]) -> Bool {
        if election == .open { return true }
        guard verdicts.contains(where: { $0.serves.contains(.primary) }) else { return true }
        if hosts.allSatisfy(\.isHeard) {
            election = .open
            return true
        }
        if election == .untried {
            election = .inGrace
            actions.append(.beginGrace)
        }
        return false
    }

    private func postpone(_ verdicts: inout [Verdict]) -> Int? {
        for index in verdicts.indices where verdicts[index].serves.contains(.primary) {
            verdicts[index].serves = []
            verdicts[index].reason = "waiting for the first answers of the other hosts"
        }
        return nil
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
        if isStale(report), let timeline = report.timeline, let highest = highestTimeline {
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
        for (index, name) in aliases(among: candidates) {
            candidates.removeAll { $0 == index }
            let reason = "the same server as \(hosts[name].label)"
            verdicts[index] = Verdict(state: verdicts[index].state, role: .primary, reason: reason, isAlias: true)
        }
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

    /// Candidates that are the same run of the same server as another one, and that one: the incumbent, else the first.
    private func aliases(among candidates: [Int]) -> [(index: Int, name: Int)] {
        struct Run: Hashable {
            var system: UInt64
            var incarnation: Int64
            var timeline: UInt32
        }
        var names: [Run: Int] = [:]
        var aliases: [(Int, Int)] = []
        for index in candidates.sorted(by: { ($0 == primary ? 0 : 1, $0) < ($1 == primary ? 0 : 1, $1) }) {
            guard let report = hosts[index].report, let system = report.systemIdentifier,
                let incarnation = report.incarnation, let timeline = report.timeline
            else { continue }
            let run = Run(system: system, incarnation: incarnation, timeline: timeline)
            if let name = names[run] { aliases.append((index, name)) } else { names[run] = index }
        }
        return aliases
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
        hosts[index].isAlias = verdict.isAlias
        hosts[index].isFenced = verdict.isFenced || (before.isFenced && verdict.serves.isEmpty)
        func emit(_ kind: ClusterEvent.Kind) {
            actions.append(.emit(ClusterEvent(host: before.label, kind: kind, reason: verdict.reason, at: now)))
        }
        if verdict.isFenced && !before.isFenced {
            actions.append(.fence(host: index))
        } else if verdict.serves != before.serves {
            actions.append(.serve(host: index, verdict.serves))
        }
        if verdict.state != before.state {
            emit(.stateChanged(from: before.state, to: verdict.state))
            if verdict.state == .quarantined { emit(.quarantined) }
        }
        // What is behind its address may have changed: a session that lives on would not tell.
        if verdict.state == .quarantined, hosts[index].isAnswering { actions.append(.renew(host: index)) }
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

// SPDX-License-Identifier: Apache-2.0

import PosthousePool

extension TopologyMachine {
    struct Verdict {
        var state: HostState
        var role: HostRole = .unknown
        var reason: String?
        var serves: ServiceClass = []
        var isFenced = false
        var isAlias = false
        var isHeldDown = false
    }

    /// Judges all hosts by the evidence, elects the primary, and says what changed.
    mutating func settle(now: ContinuousClock.Instant, into actions: inout [Action]) {
        settleDispute()
        var verdicts = hosts.indices.map(judge)
        var elected: Int?
        if mayElect(verdicts, now: now, into: &actions) {
            elected = elect(&verdicts, now: now)
            if let elected { incumbent = elected }
        } else {
            postpone(&verdicts)
        }
        for index in verdicts.indices { verdicts[index].isFenced = mustFence(index, verdicts[index], elected) }
        drain(&verdicts)
        holdDown(&verdicts, now: now)
        // Take away before giving: never two hosts in the write set, not even between two actions.
        let order =
            isOff(.takingFirst)
            ? Array(verdicts.indices.reversed())
            : verdicts.indices.sorted { rank(verdicts[$0]) < rank(verdicts[$1]) }
        for index in order { apply(verdicts[index], to: index, now: now, into: &actions) }
        announce(elected.flatMap { hosts[$0].serves.contains(.primary) ? $0 : nil }, now: now, into: &actions)
        if elected != nil, systemIdentifier != nil, members.allSatisfy({ hosts[$0].isHeard }) { identityIsFixed = true }
        askWitnessIfNeeded(now: now, into: &actions)

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
        guard let report = hosts[index].report, verdict.serves.isEmpty, !verdict.isAlias else { return false }
        if !isOurs(report) || isDisowned(index) && !isOff(.decisions) { return true }
        if report.isInRecovery { return false }
        return isStale(report) || (elected != nil && elected != index && !isOff(.replacedPrimaries))
    }

    private func judge(_ index: Int) -> Verdict {
        let host = hosts[index]
        if host.isRemoved { return Verdict(state: .unknown) }
        if let outage = host.outage {
            guard outage == .busy else { return Verdict(state: outage, reason: host.failure?.reason) }
            // Alive, only full: what its open connections serve, they go on serving.
            guard host.isAnswering, host.report != nil else {
                return Verdict(state: .busy, reason: host.failure?.reason)
            }
            var verdict = judgeReport(of: index)
            if verdict.state == .up { verdict.state = .busy }
            verdict.reason = verdict.reason ?? host.failure?.reason
            return verdict
        }
        guard host.isAnswering else {
            let age = host.report == nil ? nil : "its last answer is older than \(settings.evidenceLife)"
            return Verdict(state: .unknown, reason: host.failure?.reason ?? age)
        }
        return judgeReport(of: index)
    }

    private func judgeReport(of host: Int) -> Verdict {
        guard let report = hosts[host].report else { return Verdict(state: .unknown) }
        if let system = report.systemIdentifier, let ours = systemIdentifier, !isOurs(report) {
            let reason = "another cluster: its system identifier is \(system), this cluster's is \(ours)"
            return Verdict(state: .quarantined, role: claimedRole(report), reason: reason)
        }
        if isDisowned(host), !isOff(.decisions) {
            let reason = "decided against: another host was chosen as the primary"
            return Verdict(state: .quarantined, role: claimedRole(report), reason: reason)
        }
        if report.isInRecovery { return Verdict(state: .up, role: .replica, serves: .replica) }
        if isStale(report), let timeline = report.timeline, let highest = highestTimeline {
            let reason = "stale primary: it is on timeline \(timeline), the cluster is on \(highest)"
            return Verdict(state: .quarantined, role: .primary, reason: reason)
        }
        if report.isReadOnly { return Verdict(state: .up, role: .readOnlyPrimary, serves: .readOnlyPrimary) }
        return Verdict(state: .up, role: .primary, serves: .primary)
    }

    private func claimedRole(_ report: HostReport) -> HostRole {
        report.isInRecovery ? .replica : report.isReadOnly ? .readOnlyPrimary : .primary
    }

    /// Drained hosts are judged as all others, and then serve nothing.
    private func drain(_ verdicts: inout [Verdict]) {
        for index in verdicts.indices where hosts[index].isDrained && !isOff(.drained) {
            if !verdicts[index].serves.isEmpty { verdicts[index].reason = verdicts[index].reason ?? "drained" }
            verdicts[index].serves = []
        }
    }

    /// Keeps hosts that flap from reads, if others serve them.
    private mutating func holdDown(_ verdicts: inout [Verdict], now: ContinuousClock.Instant) {
        guard !isOff(.holdDown) else { return }
        let readers = verdicts.indices.filter { verdicts[$0].serves.contains(.replica) }
        let held = readers.filter { hosts[$0].holdDown.holds(at: now) || isOff(.endOfHold) && hosts[$0].isHeldDown }
        if held.count == readers.count, !isOff(.lastOfClass) {
            for index in held { hosts[index].holdDown.lift() }
            return
        }
        for index in held {
            verdicts[index].serves.remove(.replica)
            verdicts[index].isHeldDown = true
            verdicts[index].reason =
                "held down: it went out \(hosts[index].holdDown.outages) times lately, and has to answer for a while first"
        }
    }

    // MARK: - What changed

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
        hosts[index].isHeldDown = verdict.isHeldDown
        hosts[index].isFenced = verdict.isFenced || (before.isFenced && verdict.serves.isEmpty)
        func emit(_ kind: ClusterEvent.Kind) {
            actions.append(.emit(ClusterEvent(host: before.label, kind: kind, reason: verdict.reason, at: now)))
        }
        if verdict.isFenced && !before.isFenced {
            fence(index, into: &actions)
        } else if verdict.serves != before.serves {
            actions.append(.serve(host: index, verdict.serves))
        }
        // Its connections may have been closed while it served.
        if !verdict.serves.isEmpty { hosts[index].slowStart.begin(at: now) }
        if verdict.state != before.state {
            if before.state.isInService, verdict.state.isOutage { hosts[index].holdDown.wentOut(at: now) }
            emit(.stateChanged(from: before.state, to: verdict.state))
            if verdict.state == .quarantined { emit(.quarantined) }
        }
        if verdict.isHeldDown, !before.isHeldDown, let end = hosts[index].holdDown.end {
            emit(.heldDown(for: now.duration(to: end)))
        }
        // What is behind its address may have changed: a session that lives on would not tell.
        if hosts[index].isAnswering {
            if verdict.state == .quarantined { actions.append(.renew(host: index)) }
            if verdict.isAlias { actions.append(.compare(host: index)) }
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

extension HostState {
    /// It answers, and belongs to the cluster.
    fileprivate var isInService: Bool { self == .up || self == .busy }

    /// It was proven to be unusable.
    fileprivate var isOutage: Bool { [.down, .starting, .frozen, .misconfigured].contains(self) }
}

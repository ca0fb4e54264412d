// SPDX-License-Identifier: Apache-2.0

import PosthousePool

@testable import PosthouseCluster

extension TopologyWalk {
    // MARK: - After every event

    mutating func checkInvariants() {
        let writers = hosts.indices.filter { hosts[$0].served.contains(.primary) }
        expect(writers.count <= 1, "two hosts in the write set")
        expect(machine.primary == nil || mayHavePrimarySince != nil, "a primary before all were heard of")
        expect(machine.isHunting || machine.primary != nil, "nobody looks for a primary")
        expect(!machine.dispute.isOpen || writers.isEmpty, "somebody takes writes though it is disputed whose they are")
        for host in hosts.indices {
            checkService(of: host)
            checkLeases(on: host)
            checkRival(host)
        }
        checkReaders()
        checkIdentity()
    }

    private mutating func checkService(of host: Int) {
        let record = machine.hosts[host]
        let served = hosts[host].served
        expect(record.serves == served, "the actions do not lead to the state")
        guard !served.isEmpty else { return }
        expect(!hosts[host].isDrained, "a drained host serves")
        expect(!hosts[host].isRemoved, "a removed host serves")
        expect([.up, .busy].contains(record.state), "a host in state \(record.state) serves")
        expect(!machine.isDisowned(host), "a host serves that was decided against")
        expect(record.report?.systemIdentifier == machine.systemIdentifier, "a foreign host serves")
        let vouchedAt = hosts[host].vouchedAt ?? now - .seconds(3600)
        let isDue = machine.wakeAt.map { $0 <= now } ?? false
        expect(isDue || vouchedAt + life > now, "a host serves on evidence that is too old")
        guard served.contains(.primary) else { return }
        expect(machine.primary == host, "the primary is not the host that serves it")
        expect(record.report?.isInRecovery == false, "a server in recovery takes writes")
        expect(record.report?.timeline == machine.highestTimeline, "a stale primary")
    }

    /// A replica that answers tells of a primary that nobody has asked, and no replica tells of the one that is used.
    mutating func checkFirstElection(after event: TopologyMachine.Event) {
        guard let primary = machine.primary, !hadPrimary else { return }
        hadPrimary = true
        // Whoever decides it need not wait.
        switch event {
        case .preferred, .testified: return
        default: break
        }
        guard let since = mayHavePrimarySince, now < since + TopologyMachine.patience else { return }
        let told = active.compactMap { host -> String? in
            let record = machine.hosts[host]
            guard record.isAnswering, let report = record.report, report.isInRecovery,
                report.systemIdentifier == machine.systemIdentifier,
                report.timeline == machine.hosts[primary].report?.timeline
            else { return nil }
            return report.upstream
        }
        let unheard = active.filter { !hosts[$0].isHeard }.map(label)
        let rivals = told.count { unheard.contains($0) }
        let followers = told.count { $0 == label(primary) }
        expect(rivals == 0 || rivals < followers, "the first primary is a copy of one that nobody asked")
    }

    private mutating func checkLeases(on host: Int) {
        let record = machine.hosts[host]
        guard hosts[host].isOpen, !hosts[host].isRemoved, let report = record.report, !report.isInRecovery else {
            return
        }
        expect(report.systemIdentifier == machine.systemIdentifier, "leases on a foreign server may send")
        expect(report.timeline ?? 0 >= machine.highestTimeline ?? 0, "leases on a stale primary may send")
        // Another name of the primary leads to the primary.
        let isReplaced = machine.primary != nil && machine.primary != host && !record.isAlias
        expect(!isReplaced, "leases on a replaced primary may send")
    }

    /// Whoever answers as a primary like the primary is either the primary, under another name, or kept out.
    private mutating func checkRival(_ host: Int) {
        guard let primary = machine.primary, host != primary, machine.hosts[host].isAnswering,
            let ours = machine.hosts[primary].report, let report = machine.hosts[host].report, !report.isInRecovery,
            report.systemIdentifier == ours.systemIdentifier, report.timeline == ours.timeline
        else { return }
        let isKeptOut = machine.hosts[host].state == .quarantined
        if report.incarnation == ours.incarnation {
            let isDecided = machine.isDisowned(host)
            expect(!isKeptOut || isDecided, "the primary's other name is kept out")
        } else {
            expect(isKeptOut, "a second primary of the same timeline is in good standing")
        }
    }

    private mutating func checkReaders() {
        let readers = hosts.indices.filter { host in
            let record = machine.hosts[host]
            return [.up, .busy].contains(record.state) && record.isAnswering && record.role == .replica
                && !hosts[host].isDrained && !hosts[host].isRemoved
        }
        let isServed = hosts.contains { $0.served.contains(.replica) }
        expect(readers.isEmpty || isServed, "nobody serves reads though somebody could")
    }

    private mutating func checkIdentity() {
        if let fixedIdentity { expect(machine.systemIdentifier == fixedIdentity, "a stranger took the cluster over") }
        fixedIdentity = machine.identityIsFixed ? machine.systemIdentifier : fixedIdentity
    }

    /// Who is the primary after whom.
    mutating func checkSuccession(after former: Int?, by event: TopologyMachine.Event) {
        let isDecision: Bool
        switch event {
        case .preferred, .testified, .adopted: isDecision = true
        default: isDecision = false
        }
        if isDecision { noteDecision(event) }
        if let system = machine.systemIdentifier, let timeline = machine.highestTimeline {
            if !isDecision {
                expect(timeline >= highest[system] ?? 0, "the timeline went back")
                let isBack = rejected.map { $0.system == system && $0.timelines.contains(timeline) } ?? false
                expect(!isBack, "a timeline came back that was decided against")
            }
            highest[system] = timeline
        }
        guard fencing != .follow, !isDecision, let former, let primary = machine.primary, primary != former else {
            return
        }
        let record = machine.hosts[former]
        guard record.isAnswering, !record.isRemoved, record.report?.isInRecovery == false,
            record.report?.systemIdentifier == machine.systemIdentifier,
            let theirs = record.report?.timeline, let ours = machine.hosts[primary].report?.timeline, theirs < ours
        else { return }
        expect(false, "writes left a primary that answers, and nobody had decided so")
    }

    /// A decision for a lower timeline is one against those above.
    private mutating func noteDecision(_ event: TopologyMachine.Event) {
        if case .adopted = event {
            // That is about the identity, and forgets.
            rejected = nil
        } else if let system = machine.systemIdentifier, let former = highest[system],
            let timeline = machine.highestTimeline, former != timeline
        {
            rejected = former > timeline ? (system: system, timelines: timeline + 1...former) : nil
        }
        highest = [:]
    }

    // MARK: - In the end

    /// All is quiet: everybody answers for a while. One primary on the highest timeline is used, and all replicas are.
    mutating func comeToRest() {
        for server in servers.indices { servers[server].isAnswering = true }
        for _ in 0..<3 { answer() }
        guard let system = machine.systemIdentifier else { return }
        let writers = active.filter { isWriter($0, of: system) }
        let top = writers.map { servers[hosts[$0].server].timeline }.max() ?? 0
        let leaders = writers.filter { servers[hosts[$0].server].timeline == top }
        let isOneServer = Set(leaders.map { hosts[$0].server }).count == 1
        if let leader = leaders.first, isOneServer,
            machine.dispute.isOpen || active.contains(where: { machine.isDisowned($0) })
        {
            handle(.preferred(host: leader))
        }
        // Longer than the longest hold, at intervals at which no answer grows old.
        for _ in 0..<9 where violation == nil { answer(after: .seconds(4)) }
        let isUnambiguous = isOneServer && top == machine.highestTimeline
        if isUnambiguous, leaders.contains(where: { !hosts[$0].isDrained }) {
            let isUsed = machine.primary.map { leaders.contains($0) } ?? false
            let usable = leaders.allSatisfy { !hosts[$0].isDrained }
            expect(isUsed || !usable, "the only possible primary is not used")
        }
        for host in active where !hosts[host].isDrained {
            let server = servers[hosts[host].server]
            guard server.isInRecovery, server.system == system, !machine.isDisowned(host) else { continue }
            expect(hosts[host].served.contains(.replica), "a replica that answers is not used")
        }
    }

    private func isWriter(_ host: Int, of system: UInt64) -> Bool {
        let server = servers[hosts[host].server]
        return server.system == system && !server.isInRecovery
    }

    private mutating func answer(after time: Duration = .seconds(1)) {
        now += time
        wake()
        for host in active where violation == nil {
            hosts[host].vouchedAt = now
            hosts[host].misses = 0
            hosts[host].isHeard = true
            handle(.reported(host: host, servers[hosts[host].server].report, asked: now))
        }
    }
}

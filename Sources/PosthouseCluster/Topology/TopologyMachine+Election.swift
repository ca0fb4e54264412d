// SPDX-License-Identifier: Apache-2.0

extension TopologyMachine {
    /// How long the first primary waits, at most, for a host that replicas seem to follow. Less than a user's patience. Once,
    /// it waits on for as long as the longest stretch, of the last ``Settings/evidenceLife``, in which this process could not run.
    static let patience = Duration.seconds(3)

    /// Whether the time has come for a first primary, or there was one before.
    mutating func mayElect(_ verdicts: [Verdict], now: ContinuousClock.Instant, into actions: inout [Action]) -> Bool {
        if isOff(.firstElection), election != .open { openElection(now: now) }
        if election == .open { return true }
        guard verdicts.contains(where: { $0.serves.contains(.primary) }) else { return true }
        if members.allSatisfy({ hosts[$0].isHeard }) {
            openElection(now: now)
            return true
        }
        if election == .untried {
            election = .inGrace
            actions.append(.beginGrace)
        }
        return false
    }

    mutating func openElection(now: ContinuousClock.Instant) {
        election = .open
        rivalsAwaitedUntil = rivalsAwaitedUntil ?? now + Self.patience
    }

    func postpone(_ verdicts: inout [Verdict]) {
        for index in verdicts.indices where verdicts[index].serves.contains(.primary) {
            verdicts[index].serves = []
            verdicts[index].reason = "waiting for the first answers of the other hosts"
        }
    }

    /// Leaves the primary's services to one host only: a known timeline before an unknown one, then whom the replicas
    /// follow, then the incumbent. Several without an incumbent are a split brain that nothing here can decide, and none is
    /// used. It decides on what is known now, and waits for nobody's answer but once: see `unheardRival`.
    mutating func elect(_ verdicts: inout [Verdict], now: ContinuousClock.Instant) -> Int? {
        dispute.isAmbiguous = false
        let awaited = awaitsRival
        awaitsRival = false
        var candidates = verdicts.indices.filter { verdicts[$0].serves.contains(.primary) }
        if isOff(.drainedIncumbents) { candidates.removeAll { hosts[$0].isDrained } }
        let aliases = isOff(.aliases) ? [] : aliases(among: candidates)
        candidates.removeAll { candidate in aliases.contains { $0.index == candidate } }
        var winner = dispute.isOpen ? nil : choose(among: candidates, &verdicts)
        if let candidate = winner, let unheard = unheardRival(of: candidate, isAwaited: awaited, now: now) {
            awaitsRival = true
            verdicts[candidate].serves = []
            verdicts[candidate].reason =
                "waiting for the first answer of \(hosts[unheard].label): replicas follow another host"
            winner = nil
        }
        if winner != nil { hadPrimary = true }
        if dispute.isOpen { refuse(candidates, &verdicts) }
        for (index, name) in aliases {
            // A name of the primary is as good as the other one, and a name of a loser as bad.
            guard name == winner else {
                verdicts[index] = verdicts[name]
                continue
            }
            let reason = "the same server as \(hosts[name].label)"
            verdicts[index] = Verdict(state: verdicts[index].state, role: .primary, reason: reason, isAlias: true)
        }
        return winner
    }

    private mutating func choose(among candidates: [Int], _ verdicts: inout [Verdict]) -> Int? {
        guard candidates.count > 1, !isOff(.equals) else { return candidates.first }
        let winner = winner(among: candidates)
        dispute.isAmbiguous = winner == nil
        let losers = candidates.filter { $0 != winner }
        for loser in losers {
            let rival = winner ?? losers.first { $0 != loser } ?? loser
            let reason =
                winner == nil
                ? "ambiguous: \(hosts[rival].label) claims to be the primary on the same timeline"
                : "second primary: \(hosts[rival].label) is the primary of this cluster"
            verdicts[loser] = Verdict(state: .quarantined, role: .primary, reason: reason)
        }
        return winner
    }

    /// Who has to be asked before the first primary is used: as many replicas on its timeline follow a host that nobody has
    /// heard of as follow it, and that may be the primary of which this one is a copy. The name that a replica gives may be
    /// one that is known to replicas only: then anybody who is unheard may be meant.
    ///
    /// The first check of a host ends soon, with an answer or without; what takes longer is not waited for.
    private func unheardRival(of candidate: Int, isAwaited: Bool, now: ContinuousClock.Instant) -> Int? {
        guard !hadPrimary, !isOff(.strangersFollowed),
            // Only the alarm ends it: it knows whether this process could have heard anybody meanwhile.
            isAwaited ? !isWaitedOut : rivalsAwaitedUntil.map({ now < $0 }) ?? true,
            let unheard = members.first(where: { !hosts[$0].isHeard })
        else { return nil }
        var strangers = 0
        var followers = 0
        for host in hosts where host.isAnswering {
            guard let upstream = vote(of: host, on: hosts[candidate].report?.timeline) else { continue }
            if answers(to: upstream, candidate) {
                followers += 1
            } else if !members.contains(where: { hosts[$0].isHeard && answers(to: upstream, $0) }) {
                strangers += 1
            }
        }
        return strangers > 0 && strangers >= followers ? unheard : nil
    }

    /// Nobody takes writes while it is disputed whose they are.
    private func refuse(_ candidates: [Int], _ verdicts: inout [Verdict]) {
        guard let incumbent else { return }
        for index in candidates where index != incumbent {
            let reason = "disputed: \(hosts[incumbent].label) still answers as the primary of a lower timeline"
            verdicts[index] = Verdict(state: .quarantined, role: .primary, reason: reason)
        }
        let timeline = highestTimeline.map { "timeline \($0)" } ?? "a higher timeline"
        verdicts[incumbent] = Verdict(
            state: .quarantined,
            role: .primary,
            reason: "disputed: it still answers as the primary, though \(timeline) exists"
        )
    }

    private func winner(among candidates: [Int]) -> Int? {
        let known = candidates.filter { hosts[$0].report?.timeline != nil }
        if known.count == 1 { return known[0] }
        let equals = known.isEmpty ? candidates : known
        if let choice = choiceOfFollowers(among: equals) { return choice }
        return incumbent.flatMap { equals.contains($0) ? $0 : nil }
    }

    /// Whom more than half of the replicas follow that tell, on the timeline that the candidate is on: an older answer may
    /// name whom they followed before a promotion. Against the incumbent it must be more than half of all other
    /// hosts: those that would speak for it may just not answer.
    private func choiceOfFollowers(among candidates: [Int]) -> Int? {
        var votes: [Int: Int] = [:]
        for host in hosts where host.isAnswering {
            guard let upstream = host.report?.upstream,
                let choice = candidates.first(where: { answers(to: upstream, $0) }),
                vote(of: host, on: hosts[choice].report?.timeline) != nil
            else { continue }
            votes[choice, default: 0] += 1
        }
        let all = votes.values.reduce(0, +)
        guard let (choice, count) = votes.first(where: { $0.value * 2 > all }) else { return nil }
        if let incumbent, candidates.contains(incumbent), choice != incumbent {
            return count * 2 > members.count - candidates.count ? choice : nil
        }
        return choice
    }

    /// Whom the replica follows on this timeline.
    private func vote(of host: HostRecord, on timeline: UInt32?) -> String? {
        guard let report = host.report, report.isInRecovery, isOurs(report),
            report.timeline == nil || report.timeline == timeline
        else { return nil }
        return report.upstream
    }

    /// Whether the host is known by this address: to us, or to itself.
    func answers(to address: String, _ host: Int) -> Bool {
        hosts[host].label == address || hosts[host].report?.address == address
    }

    /// Candidates that are the same run of the same server as another one, and that one: the incumbent, else the first.
    private func aliases(among candidates: [Int]) -> [(index: Int, name: Int)] {
        struct Run: Hashable {
            var system: UInt64
            var incarnation: Int64
            var timeline: UInt32
        }
        func order(_ index: Int) -> (Int, Int) { (index == incumbent ? 0 : 1, index) }
        var names: [Run: Int] = [:]
        var aliases: [(Int, Int)] = []
        for index in candidates.sorted(by: { order($0) < order($1) }) {
            guard let report = hosts[index].report, let system = report.systemIdentifier,
                let incarnation = report.incarnation, let timeline = report.timeline
            else { continue }
            let run = Run(system: system, incarnation: incarnation, timeline: timeline)
            if let name = names[run] { aliases.append((index, name)) } else { names[run] = index }
        }
        return aliases
    }
}

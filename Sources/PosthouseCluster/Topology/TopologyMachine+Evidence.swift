// SPDX-License-Identifier: Apache-2.0

extension TopologyMachine {
    /// A stretch in which this process could not run that is too long for the rest of the time to prove anything.
    static let toleratedStall = Duration.milliseconds(100)

    /// For how many times ``Settings/evidenceLife`` a report may count whose host answers nobody but users.
    static let mostRenewals = 12

    mutating func take(
        _ report: HostReport,
        of host: Int,
        asked: ContinuousClock.Instant,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        // What was asked before a host was proven to be out is no proof that it is back. Its timeline is known from now on all
        // the same, and nothing may be sent to below it.
        if hosts[host].outage != nil, let failedAt = hosts[host].failedAt, asked < failedAt, !isOff(.answersOfBefore) {
            if !isOff(.lateTimelines) { note(report, of: host) }
            return suspect(host, .silence, now: now, into: &actions)
        }
        var report = report
        var isContradicted = false
        if let before = hosts[host].report, let run = report.incarnation, let former = before.incarnation {
            if run == former {
                // Within one run recovery only ends: whatever says otherwise was overtaken.
                if !before.isInRecovery && report.isInRecovery && !isOff(.endOfRecovery) { return }
                // The server of the checks was promoted, and no other one that shares the address.
                if before.isInRecovery && !report.isInRecovery && hosts[host].isShared { fence(host, into: &actions) }
                isContradicted = reconcile(&report, with: before, of: host, asked: asked)
                if before.isInRecovery, !report.isInRecovery { notePromotion(of: host, report) }
            } else {
                beginRun(of: host, report, after: before, now: now, into: &actions)
            }
        } else {
            hosts[host].toldUpstream = report.upstream
        }
        if hosts[host].outage != nil, !hosts[host].isAnswering { hosts[host].holdDown.cameBack(at: now) }
        hosts[host].report = report
        hosts[host].reportedAt = now
        hosts[host].askedAt = max(hosts[host].askedAt ?? asked, asked)
        hosts[host].vouchedAt = max(hosts[host].vouchedAt ?? asked, asked)
        hosts[host].misses = 0
        hosts[host].isSuspected = false
        hosts[host].isAnswering = true
        hosts[host].failure = nil
        hosts[host].outage = nil
        if !hosts[host].repeatsDisownedClaim { hosts[host].disowned = nil }
        if let rejection = rejection(of: report), asked > rejection.decidedAt, !isRejected(report) {
            hosts[host].sidesWithDecision = true
        }
        note(report, of: host)
        if isContradicted { suspect(host, .silence, now: now, into: &actions) }
    }

    /// Takes down a report of a healthy host that says what its last one said, but for where it is in the log: nothing follows
    /// from it for anybody. Nearly all reports are such, and to judge all hosts anew for each would be most of what watching
    /// many hosts costs.
    ///
    /// - Returns: Whether it was one. If not, nothing was taken down but whom it says it follows.
    mutating func takeRoutinely(
        _ report: HostReport,
        of host: Int,
        asked: ContinuousClock.Instant,
        now: ContinuousClock.Instant
    ) -> Bool {
        guard election == .open, !awaitsRival, !dispute.isOpen, !dispute.isAmbiguous, rejections.isEmpty,
            hosts.indices.contains(host), hosts[host].isSettled, var last = hosts[host].report,
            // What was older than that may have been judged as too old.
            let vouchedAt = hosts[host].vouchedAt, now < vouchedAt + settings.evidenceLife
        else { return false }
        var report = report
        if let run = last.incarnation, run == report.incarnation,
            reconcile(&report, with: last, of: host, asked: asked)
        {
            return false
        }
        // A timeline that was decided against is not known any more, and may be told of again.
        guard report.timeline ?? 0 <= highestTimeline ?? 0 else { return false }
        (last.position, last.replayAge) = (report.position, report.replayAge)
        guard last == report else { return false }
        hosts[host].report = report
        hosts[host].reportedAt = now
        hosts[host].askedAt = max(hosts[host].askedAt ?? asked, asked)
        hosts[host].vouchedAt = max(vouchedAt, asked)
        return true
    }

    /// Makes what an answer says agree with what is known of the same run. Answers do not always come in the order in which they
    /// were given, but a run's timelines only grow, and what was asked after another answer came was answered later.
    ///
    /// What tells a lower timeline was overtaken on its way, and whom a replica followed then is no vote about the timeline
    /// that it is on now. Or its receiver has ended, and with it went the number that only the receiver had told.
    ///
    /// - Returns: Whether it is not known whom the host follows, because it said otherwise and nobody can tell which is the later.
    ///   It is told of nobody then, and to be asked again.
    private mutating func reconcile(
        _ report: inout HostReport,
        with before: HostReport,
        of host: Int,
        asked: ContinuousClock.Instant
    ) -> Bool {
        guard !isOff(.growingTimelines) else { return false }
        let lowest: UInt32? = report.isInRecovery ? 0 : nil
        if let old = before.timeline, let new = report.timeline ?? lowest, new < old {
            report.timeline = old
            if let reportedAt = hosts[host].reportedAt, asked < reportedAt, report.upstream != nil {
                report.upstream = before.upstream
                return false
            }
            if report.upstream != before.upstream { report.upstream = nil }
        }
        guard report.isInRecovery, before.timeline == nil || report.timeline == before.timeline else {
            hosts[host].toldUpstream = report.upstream
            hosts[host].toldOtherwiseAt = nil
            return false
        }
        if report.upstream != hosts[host].toldUpstream {
            hosts[host].toldUpstream = report.upstream
            hosts[host].toldOtherwiseAt = hosts[host].reportedAt
        }
        guard let toldOtherwiseAt = hosts[host].toldOtherwiseAt, asked < toldOtherwiseAt else { return false }
        report.upstream = nil
        return true
    }

    /// Whether no question was answered by the host's run that had been put later.
    func isLatest(_ asked: ContinuousClock.Instant, of host: Int) -> Bool {
        hosts[host].askedAt.map { $0 <= asked } ?? true
    }

    /// Another server run answers. The sessions of a replica's former run may live on, if several share the address; those
    /// of a former primary, or of a server that was gone meanwhile, are dead or in the wrong place.
    private mutating func beginRun(
        of host: Int,
        _ report: HostReport,
        after before: HostReport,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        if before.isInRecovery && hosts[host].outage == nil || isOff(.newRuns) {
            expire(host, into: &actions)
        } else {
            fence(host, into: &actions)
        }
        hosts[host].askedAt = nil
        hosts[host].toldUpstream = report.upstream
        hosts[host].toldOtherwiseAt = nil
        actions.append(.emit(ClusterEvent(host: hosts[host].label, kind: .restarted, at: now)))
    }

    mutating func expire(_ host: Int, into actions: inout [Action]) {
        actions.append(.expire(host: host))
        hosts[host].slowStart.cool()
    }

    mutating func fence(_ host: Int, into actions: inout [Action]) {
        actions.append(.fence(host: host))
        hosts[host].serves = []
        hosts[host].isShared = false
        hosts[host].slowStart.cool()
    }

    mutating func take(
        _ failure: HostFailure,
        of host: Int,
        fresh: Bool,
        heard: Bool,
        now: ContinuousClock.Instant,
        into actions: inout [Action]
    ) {
        if failure.kind != .local { hosts[host].failedAt = now }
        switch failure.kind {
        case .local where !isOff(.localFaults):
            if heard, !isOff(.signsOfLife) { hear(host, now: now) }
            return
        case .lost where !fresh && !isOff(.lostSessions):
            suspect(host, .connectionLost, now: now, into: &actions)
            return
        case .timedOut, .unreachable, .lost:
            hosts[host].misses += 1
            hosts[host].failure = failure
            if heard, !isOff(.signsOfLife) { hear(host, now: now) }
            let isProof = hosts[host].misses >= 2 && fresh
            guard isProof || isOff(.secondMiss) else {
                // One silence is a suspicion; the proof is a second one in a row, on a connection of its own. Who answers users
                // meanwhile is not silent, only slow.
                suspect(host, .silence, now: now, into: &actions)
                return
            }
            hosts[host].outage = failure.kind == .timedOut ? .frozen : .down
        case .refused, .local:
            hosts[host].outage = .down
        case .starting:
            hosts[host].outage = .starting
        case .busy:
            hosts[host].outage = .busy
            // It is alive; had it been started anew, the sessions that are open would have ended.
            if hosts[host].isAnswering { hosts[host].vouchedAt = now }
        case .misconfigured, .garbage:
            hosts[host].outage = .misconfigured
        }
        hosts[host].failure = failure
        hosts[host].isSuspected = false
        if hosts[host].outage == .down || hosts[host].outage == .starting {
            // The processes behind our connections are gone.
            if hosts[host].isAnswering { expire(host, into: &actions) }
        }
        if hosts[host].outage != .busy || isOff(.fullServers) { hosts[host].isAnswering = false }
    }

    /// Users are answered though checks are not: the host is what it was. Not for ever, because such an answer may come from
    /// another server or another run of it, behind a pooler or an address that several share.
    private mutating func hear(_ host: Int, now: ContinuousClock.Instant) {
        hosts[host].misses = 0
        guard hosts[host].isAnswering, !hosts[host].isShared, let reportedAt = hosts[host].reportedAt,
            let vouchedAt = hosts[host].vouchedAt
        else { return }
        // From then on it has its usual life.
        let last = reportedAt + settings.evidenceLife * (Self.mostRenewals - 1)
        hosts[host].vouchedAt = max(vouchedAt, min(now, last))
    }

    mutating func suspect(
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

    /// Withdraws what was answered too long ago: whatever the host was then, nobody knows what it is now.
    mutating func age(stall: Duration, now: ContinuousClock.Instant, into actions: inout [Action]) {
        guard !isOff(.age) else { return }
        for index in hosts.indices where hosts[index].isAnswering {
            guard let vouchedAt = hosts[index].vouchedAt, vouchedAt + settings.evidenceLife <= now else { continue }
            if stall > Self.toleratedStall, !isOff(.ownStalls) {
                // Nobody could ask. Now somebody can, and has the same time for it again.
                hosts[index].vouchedAt = now
            } else {
                hosts[index].isAnswering = false
            }
            actions.append(.check(host: index))
        }
    }
}

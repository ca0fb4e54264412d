// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

extension Machine {
    mutating func setServices(_ services: ServiceClass, for member: Int, now: Moment, _ actions: inout [Action]) {
        guard !isClosing, !members[member].isRemoved else { return }
        if members[member].services.isEmpty, !services.isEmpty {
            // Whoever says so knows better than the failures of before.
            recover(member, &actions)
        }
        members[member].services = services
        servicesChanged(now: now, &actions)
    }

    mutating func fence(_ member: Int, now: Moment, _ actions: inout [Action]) {
        members[member].services = []
        members[member].wasFenced = true
        renew(member, &actions)
        interruptLeased(member, .fenced, &actions)
        for index in tables[member].slots.indices where tables[member].slots[index].state == .tended {
            actions.append(.cancelTending(slotID(member, index), isLate: false))
            actions.append(.interrupt(slotID(member, index), .fenced))
        }
        servicesChanged(now: now, &actions)
    }

    mutating func expire(_ member: Int, now: Moment, _ actions: inout [Action]) {
        members[member].wasFenced = false
        renew(member, &actions)
        recheckCover(now: now)
        plan(now: now, &actions)
    }

    mutating func resize(_ member: Int, soft: Int, hard: Int, now: Moment, _ actions: inout [Action]) {
        members[member].softLimit = soft
        members[member].hardLimit = hard
        while members[member].live > soft, let index = tables[member].lastIdle {
            retire(slotID(member, index), .resized, &actions)
        }
        endBurst(member, &actions)
        plan(now: now, &actions)
    }

    /// Other rules from now on. How long connections live that are open was drawn when they were opened.
    mutating func reconfigure(
        _ member: Int,
        _ configuration: PoolConfiguration,
        now: Moment,
        _ actions: inout [Action]
    ) {
        members[member].rules = MemberRules(configuration)
        members[member].ramp = Member.rampStart
        members[member].pausedUntil = nil
        tables[member].begins = []
        members[member].nextRound = nil
        if members[member].live > 0 { planRound(member, now: now, &actions) }
        resize(
            member,
            soft: configuration.maximumSize,
            hard: configuration.burstLimit ?? configuration.maximumSize,
            now: now,
            &actions
        )
    }

    /// The time that was asked for has come, or an earlier one.
    mutating func alarmRang(now: Moment, _ actions: inout [Action]) {
        armed = nil
        while let (index, at) = queue.firstDeadline, at <= now { timeOut(index, &actions) }
        for member in members.indices {
            for index in tables[member].connects where isDue(tables[member].slots[index].deadline, now) {
                let id = slotID(member, index)
                if holds(id, .connecting) {
                    abandon(id, timedOut: true, now: now, &actions)
                } else {
                    vacate(id, &actions)
                }
            }
            if isDue(members[member].retryAt, now) { members[member].retryAt = nil }
            if isDue(members[member].pausedUntil, now) { members[member].pausedUntil = nil }
            if isDue(members[member].upkeepAt, now) { members[member].upkeepAt = nil }
            breakIfDue(member, now: now, &actions)
            lookAfter(member, now: now, &actions)
        }
        plan(now: now, &actions)
        finishCloseIfDrained(&actions)
        if isDraining, isDue(closeDeadline, now) { interruptRest(&actions) }
        armNext(&actions)
    }

    /// No more requests. `deadline` nil: wait for leased connections as long as it takes; the earliest one counts.
    mutating func close(deadline: Moment?, now: Moment, _ actions: inout [Action]) {
        if hasEnded {
            actions.append(.finishClose(stillLeased: members.reduce(0) { $0 + $1.leased }))
            return
        }
        isDraining = true
        if let deadline { closeDeadline = min(deadline, closeDeadline ?? deadline) }
        refuseAll(now: now, &actions)
        finishCloseIfDrained(&actions)
        if isDraining, let closeDeadline {
            if closeDeadline <= now { interruptRest(&actions) } else { arm(closeDeadline, &actions) }
        }
    }

    mutating func terminate(now: Moment, _ actions: inout [Action]) {
        if hasEnded { return }
        refuseAll(now: now, &actions)
        interruptRest(&actions)
    }

    /// Closed or terminated, and nobody waits for the rest any more.
    private var hasEnded: Bool { isClosing && !isDraining }

    private func isDue(_ time: Moment?, _ now: Moment) -> Bool {
        time.map { $0 <= now } ?? false
    }

    private mutating func armNext(_ actions: inout [Action]) {
        if let nextTime { arm(nextTime, &actions) }
    }

    /// When something is due next.
    var nextTime: Moment? {
        var times: [Moment?] = [queue.firstDeadline?.at, isDraining ? closeDeadline : nil]
        for member in members {
            times += [member.retryAt, member.pausedUntil, member.upkeepAt, member.nextRound, breakTime(of: member)]
        }
        for table in tables { times += table.slots.flatMap { [$0.deadline, $0.endOfLife] } }
        return times.compactMap { $0 }.min()
    }

    /// Connections opened so far serve no new request.
    mutating func renew(_ member: Int, _ actions: inout [Action]) {
        members[member].generation += 1
        members[member].ramp = Member.rampStart
        members[member].isReturning = true
        retireIdle(member, members[member].staleReason, &actions)
        for index in tables[member].slots.indices where tables[member].slots[index].state == .leased {
            actions.append(.summon(slotID(member, index)))
        }
    }

    private mutating func interruptLeased(_ member: Int, _ reason: InterruptReason, _ actions: inout [Action]) {
        for index in tables[member].slots.indices where tables[member].slots[index].state == .leased {
            actions.append(.interrupt(slotID(member, index), reason))
        }
    }
}

// MARK: - The end

extension Machine {
    private mutating func refuseAll(now: Moment, _ actions: inout [Action]) {
        guard !isClosing else { return }
        isClosing = true
        for index in queue.inOrder() { refuse(index, .closed, &actions) }
        for member in members.indices {
            members[member].services = []
            members[member].retryAt = nil
            members[member].pausedUntil = nil
            members[member].upkeepAt = nil
            members[member].nextRound = nil
            members[member].failingSince = nil
            retireIdle(member, .poolClosed, &actions)
            for index in tables[member].slots.indices {
                tables[member][index].endOfLife = nil
                if tables[member].slots[index].state == .tended {
                    actions.append(.cancelTending(slotID(member, index), isLate: false))
                }
            }
            for index in tables[member].connects {
                let id = slotID(member, index)
                if holds(id, .connecting) { abandon(id, timedOut: false, now: now, &actions) }
            }
        }
        served = []
        filters.servicesChanged(members)
    }

    /// Graceful is over: what is still leased is interrupted, and nobody waits for it.
    private mutating func interruptRest(_ actions: inout [Action]) {
        var stillLeased = 0
        for member in members.indices {
            interruptLeased(member, .terminated, &actions)
            stillLeased += members[member].leased
        }
        actions.append(.voidPermits)
        isDraining = false
        closeDeadline = nil
        actions.append(.finishClose(stillLeased: stillLeased))
    }

    func isDrained() -> Bool { members.allSatisfy { $0.sockets == 0 } }

    mutating func finishCloseIfDrained(_ actions: inout [Action]) {
        guard isDraining, isDrained() else { return }
        isDraining = false
        closeDeadline = nil
        actions.append(.finishClose(stillLeased: 0))
    }
}

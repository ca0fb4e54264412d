// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

// How long connections live, and what is done with them meanwhile. All of it happens when the alarm rings: nobody looks at a
// clock when a connection is taken or comes back.

extension Machine {
    /// A connection is open: its life begins.
    mutating func begin(_ id: SlotID, now: Moment, _ actions: inout [Action]) {
        if let lifetime = members[id.member].rules.lifetime(&random) {
            let endOfLife = now + lifetime
            tables[id.member][id.index].endOfLife = endOfLife
            arm(endOfLife, &actions)
        }
        if members[id.member].nextRound == nil { planRound(id.member, now: now, &actions) }
    }

    /// It is not handed out again; it is closed when nobody has it.
    mutating func note(_ id: SlotID, _ reason: CloseReason) {
        if tables[id.member].slots[id.index].retirement == nil { tables[id.member][id.index].retirement = reason }
    }

    /// What is due of a member's connections.
    mutating func lookAfter(_ member: Int, now: Moment, _ actions: inout [Action]) {
        for index in tables[member].slots.indices {
            let slot = tables[member].slots[index]
            if let endOfLife = slot.endOfLife, endOfLife <= now { endLife(slotID(member, index), &actions) }
            if slot.state == .tended, let deadline = slot.deadline, deadline <= now {
                tables[member][index].deadline = nil
                note(slotID(member, index), .unfit)
                actions.append(.cancelTending(slotID(member, index), isLate: true))
            }
        }
        guard let nextRound = members[member].nextRound, nextRound <= now else { return }
        members[member].nextRound = nil
        watch(member, now: now, &actions)
        closeLongIdle(member, now: now, &actions)
        keepOneAlive(member, now: now, &actions)
        if members[member].live > 0 { planRound(member, now: now, &actions) }
    }

    mutating func planRound(_ member: Int, now: Moment, _ actions: inout [Action]) {
        guard !isClosing, let interval = members[member].rules.roundInterval else { return }
        let nextRound = now + interval
        members[member].nextRound = nextRound
        arm(nextRound, &actions)
    }

    private mutating func endLife(_ id: SlotID, _ actions: inout [Action]) {
        tables[id.member][id.index].endOfLife = nil
        note(id, .lifetimeOver)
        switch tables[id.member].slots[id.index].state {
        case .idle: retire(id, .lifetimeOver, &actions)
        case .leased: actions.append(.summon(id))
        default: break
        }
    }

    /// Notes how each connection was found, and tells of those that were found so for too long.
    mutating func watch(_ member: Int, now: Moment, _ actions: inout [Action]) {
        let rules = members[member].rules
        for index in tables[member].slots.indices {
            let slot = tables[member].slots[index]
            guard slot.state == .idle || slot.state == .leased else { continue }
            let isLeased = slot.state == .leased
            guard let watch = slot.watch, watch.isLeased == isLeased, watch.uses == slot.uses else {
                tables[member][index].watch = SlotTable.Watch(isLeased: isLeased, uses: slot.uses, since: now)
                continue
            }
            if watch.isNoted { continue }
            let id = slotID(member, index)
            if isLeased, let threshold = rules.leakThreshold, now - watch.since >= threshold {
                tables[member][index].watch?.isNoted = true
                actions.append(.leak(id, held: now - watch.since, at: now))
            } else if !isLeased, let doubtAfter = rules.doubtAfter, now - restedSince(slot, watch) >= doubtAfter {
                tables[member][index].watch?.isNoted = true
                actions.append(.doubt(id))
            }
        }
    }

    private func restedSince(_ slot: SlotTable.Slot, _ watch: SlotTable.Watch) -> Moment {
        max(watch.since, slot.checkedAt ?? watch.since)
    }

    /// Since when the slot's connection has been idle without a break, if the housekeeper has found it so.
    private func idleSince(_ slot: SlotTable.Slot) -> Moment? {
        guard slot.state == .idle, let watch = slot.watch, !watch.isLeased, watch.uses == slot.uses else { return nil }
        return watch.since
    }

    /// High slots first: they are those of a burst.
    private mutating func closeLongIdle(_ member: Int, now: Moment, _ actions: inout [Action]) {
        guard let idleTimeout = members[member].rules.idleTimeout else { return }
        for index in tables[member].slots.indices.reversed() {
            let value = members[member]
            guard value.live > value.rules.minimumSize, value.idle > value.rules.minimumIdle else { return }
            guard let since = idleSince(tables[member].slots[index]), now - since >= idleTimeout else { continue }
            retire(slotID(member, index), .idleTimedOut, &actions)
        }
    }

    /// One at a time, the one that has rested the longest: those that wait for a connection find the others.
    private mutating func keepOneAlive(_ member: Int, now: Moment, _ actions: inout [Action]) {
        guard !isClosing, let interval = members[member].rules.keepAliveInterval, members[member].keptAlive == nil
        else { return }
        var longest: (index: Int, since: Moment)?
        for index in tables[member].slots.indices {
            let slot = tables[member].slots[index]
            guard idleSince(slot) != nil, let watch = slot.watch else { continue }
            let since = restedSince(slot, watch)
            guard now - since >= interval else { continue }
            if let other = longest, other.since <= since { continue }
            longest = (index, since)
        }
        guard let longest else { return }
        let id = slotID(member, longest.index)
        let deadline = now + members[member].rules.workTimeout
        tend(id, .keepAlive, &actions)
        members[member].keptAlive = id.index
        tables[member][id.index].deadline = deadline
        arm(deadline, &actions)
    }

    mutating func tend(_ id: SlotID, _ tending: Tending, _ actions: inout [Action]) {
        move(id, to: .tended)
        actions.append(.tend(id, tending))
    }

    /// The work on the connection begins; it has this long.
    mutating func tendingBegan(_ id: SlotID, now: Moment, _ actions: inout [Action]) {
        guard holds(id, .tended), tables[id.member].slots[id.index].deadline == nil else { return }
        let deadline = now + members[id.member].rules.workTimeout
        tables[id.member][id.index].deadline = deadline
        arm(deadline, &actions)
    }

    /// The work on the connection is over.
    ///
    /// - Parameter condition: How that left it.
    mutating func tended(_ id: SlotID, _ condition: Condition, now: Moment, _ actions: inout [Action]) {
        guard holds(id, .tended) else { return }
        tables[id.member][id.index].deadline = nil
        tables[id.member][id.index].checkedAt = now
        switch condition {
        case .usable:
            settle(id, &actions)
        case .soiled, .closed, .unfit:
            note(id, .unfit)
            settle(id, &actions)
        case .invalid:
            retire(id, .invalid, dropping: true, &actions)
        }
        guard members[id.member].keptAlive == id.index else { return }
        members[id.member].keptAlive = nil
        keepOneAlive(id.member, now: now, &actions)
    }
}

// MARK: - Who holds what

extension Machine {
    /// Notes who holds what, as a round of the housekeeper does.
    mutating func takeCensus(now: Moment) {
        for member in members.indices {
            for index in tables[member].slots.indices where tables[member].slots[index].state == .leased {
                let slot = tables[member].slots[index]
                if let watch = slot.watch, watch.isLeased, watch.uses == slot.uses { continue }
                tables[member][index].watch = SlotTable.Watch(isLeased: true, uses: slot.uses, since: now)
            }
        }
    }

    /// How long the slot's lease has lasted at the least; nil if there is none.
    func heldAtLeast(slotID: (member: Int, index: Int), now: Moment) -> Duration? {
        let slots = tables[slotID.member].slots
        guard slots.indices.contains(slotID.index), slots[slotID.index].state == .leased else { return nil }
        let slot = slots[slotID.index]
        guard let watch = slot.watch, watch.isLeased, watch.uses == slot.uses else { return .zero }
        return now - watch.since
    }
}

// MARK: - A member that fails for long

extension Machine {
    /// The member works: a connection was opened, or somebody says so who knows.
    mutating func recover(_ member: Int, _ actions: inout [Action]) {
        members[member].failures = 0
        members[member].failingSince = nil
        members[member].retryAt = nil
        members[member].upkeepAt = nil
        if members[member].isBroken {
            members[member].isBroken = false
            actions.append(.repaired(member))
        }
    }

    mutating func noteFailure(_ member: Int, now: Moment, _ actions: inout [Action]) {
        // What is open may come back.
        guard members[member].live == 0 else { return }
        if members[member].failingSince == nil { members[member].failingSince = now }
        breakIfDue(member, now: now, &actions)
        if let breakTime = breakTime(of: members[member]) { arm(breakTime, &actions) }
    }

    /// When the member is given up if nothing comes between; nil if it is, or nothing fails.
    func breakTime(of member: Member) -> Moment? {
        guard let breakAfter, let failingSince = member.failingSince, !member.isBroken else { return nil }
        return failingSince + breakAfter
    }

    /// Requests that nobody else could serve are refused from now on, and those that wait, too; the pool goes on trying.
    mutating func breakIfDue(_ member: Int, now: Moment, _ actions: inout [Action]) {
        guard let breakTime = breakTime(of: members[member]), breakTime <= now else { return }
        members[member].isBroken = true
        actions.append(.broken(member))
        refuseHopeless(&actions)
    }

    mutating func refuseHopeless(_ actions: inout [Action]) {
        guard members.contains(where: \.isBroken) else { return }
        for index in queue.inOrder() {
            if let broken = hopeless(queue.demand(at: index)) { refuse(index, .unavailable(broken), &actions) }
        }
    }

    /// Whether a connect is to be tried though nobody asks for it, because nobody may.
    func needsTry(_ member: Int) -> Bool {
        let value = members[member]
        return value.isBroken && !isClosing && !value.services.isEmpty && value.connecting == 0 && value.upkeepAt == nil
    }

    /// Whether all members that could serve the demand are broken: the last of them.
    func hopeless(_ demand: Demand) -> Int? {
        guard breakAfter != nil else { return nil }
        var last: Int?
        for member in members.indices where serves(member, demand) {
            if !members[member].isBroken { return nil }
            last = member
        }
        return last
    }
}

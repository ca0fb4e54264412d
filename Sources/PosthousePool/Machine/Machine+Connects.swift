// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

// Connects belong to the pool. A waiter counts on at most one of them and a connect is counted on by at most one waiter;
// a connect whose waiter has left is counted on by the next one instead of beginning another.

extension Machine {
    /// The connect ended well. Returns `false` if nobody knows it any more (it was written off): close it.
    @discardableResult
    mutating func connected(_ id: SlotID, affinity: Int, now: Moment, _ actions: inout [Action]) -> Bool {
        if holds(id, .abandoned) {
            tables[id.member][id.index].deadline = nil
            retire(id, .late, &actions)
            return true
        }
        guard holds(id, .connecting) else { return false }
        let waiter = endConnect(id, now: now)
        recover(id.member, &actions)
        if !isStale(id) { members[id.member].isReturning = false }
        tables[id.member].settle(id.index, at: affinity)
        begin(id, now: now, &actions)
        let member = members[id.member]
        if isStale(id) {
            retire(id, member.staleReason, &actions)
        } else if member.staying > member.hardLimit {
            retire(id, .resized, &actions)
        } else if givesUp(hasWaiter: firstWaiter(for: id.member) != nil) {
            retire(id, .budget, &actions)
        } else if let first = firstWaiter(for: id.member) {
            if let waiter, waiter.index != first { inherit(waiter, from: first) }
            grant(first, id, &actions)
            let most = member.rules.maximumConcurrentConnects
            members[id.member].ramp = member.ramp > most / 2 ? most : member.ramp * 2
        } else if member.live >= member.softLimit {
            // Not counted among the live ones itself.
            retire(id, .overSoftLimit, &actions)
        } else {
            move(id, to: .idle)
        }
        plan(now: now, &actions)
        return true
    }

    /// The connect ended badly.
    mutating func connectFailed(_ id: SlotID, now: Moment, _ actions: inout [Action]) {
        if holds(id, .abandoned) {
            vacate(id, &actions)
        } else if holds(id, .connecting) {
            let isAskedFor = tables[id.member][id.index].isAskedFor
            let waiter = endConnect(id, now: now)
            vacate(id, &actions)
            connectDisappointed(id, waiter: waiter, isAskedFor: isAskedFor, now: now, &actions)
        } else {
            return
        }
        plan(now: now, &actions)
        finishCloseIfDrained(&actions)
    }

    /// The connect runs on, unwanted: its task is told to end, and counts until it does or is written off.
    mutating func abandon(_ id: SlotID, timedOut: Bool, now: Moment, _ actions: inout [Action]) {
        let isAskedFor = tables[id.member][id.index].isAskedFor
        let waiter = endConnect(id, now: now)
        let writtenOffAt = now + Self.abandonedGrace
        move(id, to: .abandoned)
        tables[id.member][id.index].deadline = writtenOffAt
        actions.append(.abandonConnect(id, timedOut: timedOut))
        arm(writtenOffAt, &actions)
        if timedOut { connectDisappointed(id, waiter: waiter, isAskedFor: isAskedFor, now: now, &actions) }
    }

    /// What a failed connect means: to the member, or to the request that asked for it.
    private mutating func connectDisappointed(
        _ id: SlotID,
        waiter: WaiterID?,
        isAskedFor: Bool,
        now: Moment,
        _ actions: inout [Action]
    ) {
        noteFailure(id.member, now: now, &actions)
        if policy == .keepWaiting {
            backOff(id.member, now: now, &actions)
        } else if !isAskedFor {
            pauseUpkeep(id.member, now: now, &actions)
        }
        guard let waiter, queue.contains(waiter) else { return }
        if queue[waiter.index].failsFast || policy != .keepWaiting && isAskedFor {
            refuse(waiter.index, .connectFailed(id), &actions)
        }
    }

    mutating func backOff(_ member: Int, now: Moment, _ actions: inout [Action]) {
        // Several connects that fail together are one failure.
        guard members[member].retryAt == nil else { return }
        let retryAt = now + nextPause(member)
        members[member].retryAt = retryAt
        arm(retryAt, &actions)
    }

    /// Nobody asked for the connect that failed: nothing but such connects waits.
    private mutating func pauseUpkeep(_ member: Int, now: Moment, _ actions: inout [Action]) {
        guard members[member].upkeepAt == nil else { return }
        let upkeepAt = now + nextPause(member)
        members[member].upkeepAt = upkeepAt
        arm(upkeepAt, &actions)
    }

    private mutating func nextPause(_ member: Int) -> Duration {
        let rules = members[member].rules
        members[member].failures += 1
        var pause = rules.backoffBase
        for _ in 1..<members[member].failures where pause < rules.backoffCap { pause *= 2 }
        return random.jitter(min(pause, rules.backoffCap))
    }

    /// The waiter that counted on the connect, if any, does no more.
    private mutating func endConnect(_ id: SlotID, now: Moment) -> WaiterID? {
        let waiter = tables[id.member][id.index].waiter
        tables[id.member][id.index].waiter = nil
        tables[id.member][id.index].isAskedFor = false
        tables[id.member][id.index].deadline = nil
        if let waiter {
            queue[waiter.index].connect = nil
            queue.noteUncovered(waiter.index, now: now)
        }
        return waiter
    }

    /// `first` is about to be served by the connect that `waiter` counted on: `waiter` counts on the one of `first` now.
    private mutating func inherit(_ waiter: WaiterID, from first: Int) {
        guard let connect = queue[first].connect, serves(connect.member, queue.demand(at: waiter.index)) else { return }
        queue[first].connect = nil
        queue[waiter.index].connect = connect
        tables[connect.member][connect.index].waiter = waiter
        tables[connect.member][connect.index].isAskedFor = false
    }
}

// MARK: - Covering demand

extension Machine {
    /// Lets every waiter that counts on no connect, first come first, count on one that nobody counts on, or begins one.
    /// Then come those that nobody waits for.
    mutating func plan(now: Moment, _ actions: inout [Action]) {
        yieldCredits(&actions)
        while !queue.isEmpty, let index = firstUncovered() {
            cover(queue.id(at: index), now: now, &actions)
        }
        for member in members.indices {
            keepUp(member, now: now, &actions)
            if needsTry(member), mayConnect(member) { connect(member, for: nil, now: now, &actions) }
        }
    }

    /// Opens what is missing of the member's minimum.
    mutating func keepUp(_ member: Int, now: Moment, _ actions: inout [Action]) {
        guard !isClosing, !members[member].services.isEmpty, members[member].upkeepAt == nil else { return }
        while members[member].isBelowMinimum, mayConnectAhead(member) { connect(member, for: nil, now: now, &actions) }
    }

    /// The first waiter that counts on no connect though it could. Those that do count on one are as few as the connects.
    private func firstUncovered() -> Int? {
        var first: Int?
        for line in queue.lines where line.count > 0 {
            guard members.indices.contains(where: { canHelp($0, line.demand) }) else { continue }
            var candidate = line.head
            while let index = candidate, queue[index].connect != nil { candidate = queue[index].next }
            guard let index = candidate else { continue }
            if let other = first, queue[other].ticket < queue[index].ticket { continue }
            first = index
        }
        return first
    }

    private func canHelp(_ member: Int, _ demand: Demand) -> Bool {
        serves(member, demand) && (mayConnect(member) || spareConnect(member) != nil)
    }

    /// A connect that nobody counts on.
    private func spareConnect(_ member: Int) -> SlotID? {
        guard members[member].connecting > 0 else { return nil }
        let table = tables[member]
        let index = table.connects.first { index in
            let slot = table.slots[index]
            return slot.state == .connecting && slot.waiter == nil && slot.generation == members[member].generation
        }
        return index.map { slotID(member, $0) }
    }

    /// Finds the waiter a connect to count on, if there is any.
    mutating func cover(_ id: WaiterID, now: Moment, _ actions: inout [Action]) {
        let demand = queue.demand(at: id.index)
        if let preferred = queue[id.index].preferred, serves(preferred, demand) {
            if count(id, onSpareOf: preferred) { return }
            if mayConnect(preferred), members[preferred].hasRoomAhead {
                return connect(preferred, for: id, now: now, &actions)
            }
        }
        for member in members.indices where serves(member, demand) {
            if count(id, onSpareOf: member) { return }
        }
        var best: Int?
        var bestFree = Int.min
        var ties = 0
        for member in members.indices where mayConnect(member) && serves(member, demand) {
            if wins(members[member].free, over: bestFree, ties: &ties) {
                best = member
                bestFree = members[member].free
            }
        }
        if let best { connect(best, for: id, now: now, &actions) }
    }

    private mutating func count(_ id: WaiterID, onSpareOf member: Int) -> Bool {
        guard let connect = spareConnect(member) else { return false }
        tables[member][connect.index].waiter = id
        queue[id.index].connect = connect
        queue.restoreDeadline(id.index)
        return true
    }

    /// Opens connections that nobody waits for, on the member that `takeIdle` named.
    mutating func openAhead(_ member: Int, now: Moment, _ actions: inout [Action]) {
        keepUp(member, now: now, &actions)
        let value = members[member]
        guard !isClosing, mayConnectAhead(member), value.upkeepAt == nil, value.connecting == 0,
            value.live < value.softLimit, !value.services.isEmpty
        else { return }
        connect(member, for: nil, now: now, &actions)
    }

    mutating func connect(_ member: Int, for waiter: WaiterID?, now: Moment, _ actions: inout [Action]) {
        pace(member, now: now, &actions)
        budget?.credits -= 1
        let index = tables[member].takeEmpty()
        let id = slotID(member, index)
        let deadline = now + members[member].rules.connectTimeout
        move(id, to: .connecting)
        tables[member][id.index].generation = members[member].generation
        tables[member][id.index].maximumUses = members[member].rules.maximumUses
        tables[member][id.index].deadline = deadline
        tables[member][id.index].waiter = waiter
        tables[member][id.index].isAskedFor = waiter != nil
        if let waiter {
            queue[waiter.index].connect = id
            queue.restoreDeadline(waiter.index)
        }
        actions.append(.connect(id))
        if !members[member].isBursting, members[member].sockets > members[member].softLimit {
            members[member].isBursting = true
            actions.append(.burstStarted(member))
        }
        if members[member].isBursting, members[member].sockets == members[member].hardLimit {
            actions.append(.limitReached(member))
        }
        arm(deadline, &actions)
    }

    /// As many connects as a second allows: then a pause until the first of them is a second old.
    private mutating func pace(_ member: Int, now: Moment, _ actions: inout [Action]) {
        guard let rate = members[member].rules.maximumConnectRate else { return }
        tables[member].begins.append(now)
        let excess = tables[member].begins.count - rate
        if excess > 0 { tables[member].begins.removeFirst(excess) }
        guard excess >= 0, let oldest = tables[member].begins.first else { return }
        let pausedUntil = oldest + .seconds(1)
        if pausedUntil <= now { return }
        members[member].pausedUntil = pausedUntil
        arm(pausedUntil, &actions)
    }

    /// Waiters that count on a connect that will not serve them (its member was fenced, expired, or serves something else
    /// now) do so no more.
    mutating func recheckCover(now: Moment) {
        for member in members.indices {
            for index in tables[member].connects {
                guard let waiter = tables[member].slots[index].waiter else { continue }
                if !isStale(slotID(member, index)), serves(member, queue.demand(at: waiter.index)) { continue }
                tables[member][index].waiter = nil
                tables[member][index].isAskedFor = false
                queue[waiter.index].connect = nil
                queue.noteUncovered(waiter.index, now: now)
            }
        }
    }
}

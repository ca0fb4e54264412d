// SPDX-License-Identifier: Apache-2.0

// Connects belong to the pool. A waiter counts on at most one of them and a connect is counted on by at most one waiter;
// a connect whose waiter has left is counted on by the next one instead of beginning another.

extension Machine {
    /// The connect ended well. Returns `false` if nobody knows it any more (it was written off): close it.
    @discardableResult
    mutating func connected(_ id: SlotID, affinity: Int, now: Instant, _ actions: inout [Action]) -> Bool {
        let member = id.member
        if holds(id, .abandoned) {
            members[member].abandoned.removeAll { $0 == id.index }
            retire(id, .late, &actions)
            return true
        }
        guard holds(id, .connecting) else { return false }
        let waiter = endConnect(id)
        members[member].failures = 0
        members[member].retryAt = nil
        members[member].slots[id.index].isFresh = true
        members[member].settle(id.index, at: affinity)
        if members[member].isStale(id.index) {
            retire(id, members[member].wasFenced ? .fenced : .expired, &actions)
        } else if members[member].sockets >= members[member].hardLimit {
            retire(id, .resized, &actions)
        } else if let first = firstWaiter(for: member) {
            if let waiter, waiter.index != first { inherit(waiter, from: first) }
            grant(first, id, &actions)
            members[member].ramp = min(members[member].ramp * 2, members[member].maximumConcurrentConnects)
        } else if members[member].live >= members[member].softLimit {
            retire(id, .overSoftLimit, &actions)
        } else {
            park(id)
        }
        plan(now: now, &actions)
        return true
    }

    /// The connect ended badly.
    mutating func connectFailed(_ id: SlotID, now: Instant, _ actions: inout [Action]) {
        if holds(id, .abandoned) {
            members[id.member].abandoned.removeAll { $0 == id.index }
            vacate(id, &actions)
        } else if holds(id, .connecting) {
            let isAskedFor = members[id.member].slots[id.index].isAskedFor
            let waiter = endConnect(id)
            vacate(id, &actions)
            connectDisappointed(id, waiter: isAskedFor ? waiter : nil, now: now, &actions)
        } else {
            return
        }
        plan(now: now, &actions)
        finishCloseIfDrained(&actions)
    }

    /// A connection was dead when it was handed out for the first time. Without a pause, a strategy that never opens
    /// anything usable would be called in a tight loop.
    mutating func rejected(_ id: SlotID, _ condition: Condition, now: Instant, _ actions: inout [Action]) {
        guard holds(id, .leased) else { return }
        if members[id.member].slots[id.index].isFresh { backOff(id.member, now: now, &actions) }
        returned(id, condition, &actions)
    }

    /// What a failed connect means: to the request that asked for it, or to the member.
    private mutating func connectDisappointed(
        _ id: SlotID,
        waiter: WaiterID?,
        now: Instant,
        _ actions: inout [Action]
    ) {
        if policy == .keepWaiting {
            backOff(id.member, now: now, &actions)
        } else if let waiter {
            refuse(waiter.index, .connectFailed(id), &actions)
        }
    }

    private mutating func backOff(_ member: Int, now: Instant, _ actions: inout [Action]) {
        // Several connects that fail together are one failure.
        guard members[member].retryAt == nil else { return }
        members[member].failures += 1
        var pause = members[member].backoffBase
        for _ in 1..<members[member].failures where pause < members[member].backoffCap { pause *= 2 }
        let retryAt = now + random.jitter(min(pause, members[member].backoffCap))
        members[member].retryAt = retryAt
        arm(retryAt, &actions)
    }

    /// The connect is over, for better or worse; the waiter that counted on it, if any, does no more.
    private mutating func endConnect(_ id: SlotID) -> WaiterID? {
        members[id.member].connecting.removeAll { $0 == id.index }
        let waiter = members[id.member].slots[id.index].waiter
        members[id.member].slots[id.index].waiter = nil
        members[id.member].slots[id.index].isAskedFor = false
        members[id.member].slots[id.index].deadline = nil
        if let waiter { queue[waiter.index].connect = nil }
        return waiter
    }

    /// The connect runs on, unwanted: its task was told to end.
    mutating func abandon(_ id: SlotID, timedOut: Bool, now: Instant, _ actions: inout [Action]) {
        let isAskedFor = members[id.member].slots[id.index].isAskedFor
        let waiter = endConnect(id)
        let writtenOffAt = now + Self.abandonedGrace
        members[id.member].slots[id.index].state = .abandoned
        members[id.member].slots[id.index].deadline = writtenOffAt
        members[id.member].abandoned.append(id.index)
        actions.append(.abandonConnect(id, timedOut: timedOut))
        arm(writtenOffAt, &actions)
        if timedOut { connectDisappointed(id, waiter: isAskedFor ? waiter : nil, now: now, &actions) }
    }

    /// `first` is about to be served by the connect that `waiter` counted on: `waiter` counts on the one of `first` now.
    private mutating func inherit(_ waiter: WaiterID, from first: Int) {
        guard let connect = queue[first].connect, serves(connect.member, queue.demand(at: waiter.index)) else { return }
        queue[first].connect = nil
        queue[waiter.index].connect = connect
        members[connect.member].slots[connect.index].waiter = waiter
        members[connect.member].slots[connect.index].isAskedFor = false
    }
}

// MARK: - Covering demand

extension Machine {
    /// Lets every waiter that counts on no connect, first come first, count on one that nobody counts on, or begins one.
    mutating func plan(now: Instant, _ actions: inout [Action]) {
        while !queue.isEmpty, let index = firstUncovered() {
            cover(queue.id(at: index), now: now, &actions)
        }
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
        serves(member, demand) && (members[member].canOpen || spareConnect(member) != nil)
    }

    /// A connect that nobody counts on.
    private func spareConnect(_ member: Int) -> Int? {
        members[member].connecting.first { members[member].slots[$0].waiter == nil && !members[member].isStale($0) }
    }

    /// Finds the waiter a connect to count on, if there is any.
    mutating func cover(_ id: WaiterID, now: Instant, _ actions: inout [Action]) {
        let demand = queue.demand(at: id.index)
        for member in members.indices where serves(member, demand) {
            guard let index = spareConnect(member) else { continue }
            members[member].slots[index].waiter = id
            queue[id.index].connect = slotID(member, index)
            return
        }
        var best: Int?
        var bestFree = Int.min
        var ties = 0
        for member in members.indices where members[member].canOpen && serves(member, demand) {
            if wins(members[member].free, over: bestFree, ties: &ties) {
                best = member
                bestFree = members[member].free
            }
        }
        if let best { connect(best, for: id, now: now, &actions) }
    }

    /// Opens a connection that nobody waits for, on the member that `takeIdle` named.
    mutating func openAhead(_ member: Int, now: Instant, _ actions: inout [Action]) {
        guard !isClosing, members[member].canOpen, members[member].connecting.isEmpty,
            members[member].live < members[member].softLimit, !members[member].services.isEmpty
        else { return }
        connect(member, for: nil, now: now, &actions)
    }

    private mutating func connect(_ member: Int, for waiter: WaiterID?, now: Instant, _ actions: inout [Action]) {
        let index = members[member].takeEmptySlot()
        let deadline = now + members[member].connectTimeout
        members[member].slots[index].state = .connecting
        members[member].slots[index].generation = members[member].generation
        members[member].slots[index].deadline = deadline
        members[member].slots[index].waiter = waiter
        members[member].slots[index].isAskedFor = waiter != nil
        members[member].connecting.append(index)
        let id = slotID(member, index)
        if let waiter { queue[waiter.index].connect = id }
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

    /// Waiters that count on a connect that will not serve them (its member was fenced, expired, or serves something else
    /// now) do so no more.
    mutating func recheckCover() {
        for member in members.indices {
            for index in members[member].connecting {
                guard let waiter = members[member].slots[index].waiter else { continue }
                if !members[member].isStale(index), serves(member, queue.demand(at: waiter.index)) { continue }
                members[member].slots[index].waiter = nil
                members[member].slots[index].isAskedFor = false
                queue[waiter.index].connect = nil
            }
        }
    }
}

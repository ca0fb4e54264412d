// SPDX-License-Identifier: Apache-2.0

extension Machine {
    /// A lease ended.
    mutating func returned(_ id: SlotID, _ condition: Condition, _ actions: inout [Action]) {
        guard holds(id, .leased) else { return }
        members[id.member].leased -= 1
        members[id.member].endedLeases &+= 1
        switch condition {
        case .usable:
            members[id.member].slots[id.index].isFresh = false
            if settle(id, &actions) { members[id.member].ramp = Member.rampStart }
        case .closed:
            retire(id, .reportedClosed, &actions)
        case .invalid:
            retire(id, .invalid, dropping: true, &actions)
        }
    }

    /// The connection is held out of the idle ones. Returns `false` if it is not idle.
    mutating func claim(_ id: SlotID) -> Bool {
        guard holds(id, .idle) else { return false }
        members[id.member].idle.remove(id.index)
        members[id.member].claimed += 1
        members[id.member].slots[id.index].state = .claimed
        return true
    }

    mutating func claimEnded(_ id: SlotID, _ verdict: IdleVerdict, _ actions: inout [Action]) {
        guard holds(id, .claimed) else { return }
        members[id.member].claimed -= 1
        switch verdict {
        case .keep: _ = settle(id, &actions)
        case .evict: retire(id, .evicted, &actions)
        }
    }

    /// The connection is closed, or dropped: there is room for another.
    mutating func closed(_ id: SlotID, now: Instant, _ actions: inout [Action]) {
        guard holds(id, .closing) else { return }
        members[id.member].closing -= 1
        vacate(id, &actions)
        plan(now: now, &actions)
        finishCloseIfDrained(&actions)
    }

    /// Where a healthy connection goes that nobody holds: to the first waiter, to rest, or away. Its slot's state counts
    /// as none of these. Returns whether it went to a waiter.
    private mutating func settle(_ id: SlotID, _ actions: inout [Action]) -> Bool {
        let member = id.member
        if isClosing {
            retire(id, .poolClosed, &actions)
        } else if members[member].isStale(id.index) {
            retire(id, members[member].wasFenced ? .fenced : .expired, &actions)
        } else if members[member].sockets >= members[member].hardLimit {
            // Not counted itself: with it the member would exceed a hard limit that was lowered.
            retire(id, .resized, &actions)
        } else if let first = firstWaiter(for: member) {
            grant(first, id, &actions)
            return true
        } else if members[member].live >= members[member].softLimit {
            retire(id, .overSoftLimit, &actions)
        } else {
            park(id)
        }
        return false
    }

    mutating func park(_ id: SlotID) {
        members[id.member].slots[id.index].state = .idle
        members[id.member].idle.insert(id.index)
    }

    /// The slot, which counts as no state, goes to the waiter.
    mutating func grant(_ index: Int, _ id: SlotID, _ actions: inout [Action]) {
        members[id.member].slots[id.index].state = .leased
        members[id.member].slots[id.index].holder = queue[index].holder
        members[id.member].leased += 1
        actions.append(.grant(queue.id(at: index), id))
        leaveQueue(index)
    }

    /// The slot, which counts as no state, is to be closed.
    mutating func retire(_ id: SlotID, _ reason: CloseReason, dropping: Bool = false, _ actions: inout [Action]) {
        members[id.member].slots[id.index].state = .closing
        members[id.member].closing += 1
        actions.append(dropping ? .drop(id, reason) : .close(id, reason))
    }

    mutating func retireIdle(_ member: Int, _ index: Int, _ reason: CloseReason, _ actions: inout [Action]) {
        members[member].idle.remove(index)
        retire(slotID(member, index), reason, &actions)
    }

    mutating func vacate(_ id: SlotID, _ actions: inout [Action]) {
        members[id.member].vacate(id.index)
        if members[id.member].isBursting, members[id.member].sockets <= members[id.member].softLimit {
            members[id.member].isBursting = false
            actions.append(.burstStopped(id.member))
        }
    }
}

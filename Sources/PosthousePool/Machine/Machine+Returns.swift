// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

extension Machine {
    /// A lease ended: the one of this number, of those of its connection.
    mutating func returned(_ id: SlotID, _ condition: Condition, uses: UInt64 = 0, _ actions: inout [Action]) {
        guard holds(id, .leased) else { return }
        if uses >= tables[id.member].slots[id.index].maximumUses { note(id, .usedUp) }
        switch condition {
        case .usable:
            members[id.member].ramp = Member.rampStart
            settle(id, &actions)
        case .soiled:
            settle(id, needsRecycling: true, &actions)
        case .closed:
            retire(id, .reportedClosed, &actions)
        case .unfit:
            retire(id, .unfit, &actions)
        case .invalid:
            retire(id, .invalid, dropping: true, &actions)
        }
    }

    /// A connection was not fit to be handed out, and the request it was for is over.
    mutating func rejected(_ reject: Reject, now: Moment, _ actions: inout [Action]) {
        pauseIfFresh(reject, now: now, &actions)
        returned(reject.id, reject.condition, &actions)
    }

    /// If the connection was new, there is a pause before the next connect: a strategy that never opens anything usable
    /// would be called in a tight loop otherwise.
    mutating func pauseIfFresh(_ reject: Reject, now: Moment, _ actions: inout [Action]) {
        guard holds(reject.id, .leased), reject.condition != .usable else { return }
        if reject.isFirstUse { backOff(reject.id.member, now: now, &actions) }
    }

    /// The connection is held out of the idle ones. Returns `false` if it is not idle.
    mutating func claim(_ id: SlotID) -> Bool {
        guard holds(id, .idle) else { return false }
        move(id, to: .claimed)
        return true
    }

    mutating func claimEnded(_ id: SlotID, _ verdict: IdleVerdict, _ actions: inout [Action]) {
        guard holds(id, .claimed) else { return }
        switch verdict {
        case .keep: settle(id, &actions)
        case .evict: retire(id, .evicted, &actions)
        }
    }

    /// The connection is closed, or dropped: there is room for another.
    mutating func closed(_ id: SlotID, now: Moment, _ actions: inout [Action]) {
        guard holds(id, .closing) else { return }
        vacate(id, &actions)
        plan(now: now, &actions)
        finishCloseIfDrained(&actions)
    }

    /// The lease's connection is not the pool's any more: its place is free.
    mutating func detached(_ id: SlotID, now: Moment, _ actions: inout [Action]) {
        guard holds(id, .leased) else { return }
        vacate(id, &actions)
        plan(now: now, &actions)
        finishCloseIfDrained(&actions)
    }

    /// Where a healthy connection goes that somebody held: to the first waiter, to rest, or away.
    mutating func settle(_ id: SlotID, needsRecycling: Bool = false, _ actions: inout [Action]) {
        let member = members[id.member]
        if isClosing {
            retire(id, .poolClosed, &actions)
        } else if isStale(id) {
            retire(id, member.staleReason, &actions)
        } else if let reason = tables[id.member].slots[id.index].retirement {
            retire(id, reason, &actions)
        } else if member.staying > member.hardLimit {
            retire(id, .resized, &actions)
        } else if needsRecycling {
            tend(id, .recycle, &actions)
        } else if givesUp(hasWaiter: firstWaiter(for: id.member) != nil) {
            retire(id, .budget, &actions)
        } else if let first = firstWaiter(for: id.member) {
            grant(first, id, &actions)
        } else if member.live > member.softLimit {
            retire(id, .overSoftLimit, &actions)
        } else {
            move(id, to: .idle)
        }
    }

    mutating func grant(_ index: Int, _ id: SlotID, _ actions: inout [Action]) {
        move(id, to: .leased)
        tables[id.member][id.index].holder = queue[index].holder
        actions.append(.grant(queue.id(at: index), id))
        leaveQueue(index)
    }

    mutating func retire(_ id: SlotID, _ reason: CloseReason, dropping: Bool = false, _ actions: inout [Action]) {
        move(id, to: .closing)
        actions.append(dropping ? .drop(id, reason) : .close(id, reason))
    }

    mutating func retireIdle(_ member: Int, _ reason: CloseReason, _ actions: inout [Action]) {
        while let index = tables[member].lastIdle { retire(slotID(member, index), reason, &actions) }
    }

    /// No socket and no connect is left in the slot.
    mutating func vacate(_ id: SlotID, _ actions: inout [Action]) {
        move(id, to: .empty)
        budget?.credits += 1
        endBurst(id.member, &actions)
    }

    mutating func endBurst(_ member: Int, _ actions: inout [Action]) {
        guard members[member].isBursting, members[member].sockets <= members[member].softLimit else { return }
        members[member].isBursting = false
        actions.append(.burstStopped(member))
    }
}

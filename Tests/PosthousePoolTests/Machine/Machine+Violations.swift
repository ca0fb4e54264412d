// SPDX-License-Identifier: Apache-2.0

@testable import PosthousePool

extension Machine {
    /// What does not hold though it should, after any step.
    var violations: [String] {
        var found: [String] = []
        for index in members.indices {
            found +=
                (members[index].miscounts(tables[index])
                + tables[index].violations(generation: members[index].generation))
                .map { "member \(index): \($0)" }
            found += connectViolations(of: index)
        }
        found += waiterViolations
        found += queue.violations
        if served != members.reduce(into: ServiceClass(), { $0.formUnion($1.services) }) {
            found.append("`served` is not what the members serve")
        }
        for filter in filters.filters.compactMap({ $0 }) {
            let inside = members.indices.filter { filter.members.contains($0) }
            if filter.served != inside.reduce(into: ServiceClass(), { $0.formUnion(members[$1].services) }) {
                found.append("a filter's `served` is not what its members serve")
            }
        }
        for member in members where member.isRemoved {
            if !member.services.isEmpty || member.idle > 0 || member.connecting > 0 {
                found.append("a removed member is in use")
            }
        }
        if let nextTime {
            if armed.map({ $0 > nextTime }) ?? true { found.append("due at \(nextTime), armed for \(armed as Any)") }
        }
        if isClosing {
            if !queue.isEmpty { found.append("requests wait for a closed pool") }
            if members.contains(where: { $0.idle > 0 }) { found.append("idle in a closed pool") }
            if members.contains(where: { $0.connecting > 0 }) { found.append("connecting in a closed pool") }
            if isDraining, isDrained() { found.append("drained, but nobody was told") }
        }
        return found
    }

    private func connectViolations(of index: Int) -> [String] {
        var found: [String] = []
        let slots = tables[index].slots
        for slot in tables[index].connects where slots[slot].state == .connecting {
            guard let waiter = slots[slot].waiter else {
                if slots[slot].isAskedFor { found.append("a connect asked for by nobody") }
                continue
            }
            if !queue.contains(waiter) {
                found.append("a connect counts on a request that has left")
            } else if queue[waiter.index].connect != slotID(index, slot) {
                found.append("a request counts on another connect than the one that counts on it")
            }
        }
        return found
    }

    private var waiterViolations: [String] {
        var found: [String] = []
        for index in queue.inOrder() {
            let demand = queue.demand(at: index)
            let able = members.indices.filter { serves($0, demand) }
            if able.contains(where: { members[$0].idle > 0 }) {
                found.append("a request waits though a connection is idle")
            }
            if let connect = queue[index].connect {
                let slot = tables[connect.member].slots[connect.index]
                if slot.incarnation != connect.incarnation || slot.state != .connecting || slot.waiter?.index != index {
                    found.append("a request counts on a connect that does not count on it")
                }
                continue
            }
            for member in able {
                // With one closing there is a step to come (`closed`) that looks for room: a return reads no clock.
                if mayConnect(member), members[member].closing == 0 {
                    found.append("a request waits though member \(member) has room")
                }
                let isPaused = members[member].retryAt != nil || members[member].pausedUntil != nil
                if members[member].sockets == 0, !isPaused, budget == nil {
                    found.append("a request waits for member \(member), where nothing will ever happen")
                }
            }
        }
        return found
    }
}

extension Member {
    func miscounts(_ table: SlotTable) -> [String] {
        var found: [String] = []
        func expect(_ state: SlotState, _ count: Int) {
            let actual = table.slots.count { $0.state == state }
            if actual != count { found.append("\(actual) slots are \(state), counted \(count)") }
        }
        expect(.idle, idle)
        expect(.leased, leased)
        expect(.claimed, claimed)
        expect(.tended, tended)
        expect(.closing, closing)
        expect(.connecting, connecting)
        expect(.abandoned, abandoned)
        if idle > 0, live > softLimit { found.append("idle above the soft limit") }
        if isBursting, sockets <= softLimit { found.append("a burst that has not stopped") }
        return found
    }
}

extension SlotTable {
    func violations(generation: Int) -> [String] {
        var found: [String] = []
        for index in slots.indices {
            let slot = slots[index]
            if idle.contains(index) != (slot.state == .idle) { found.append("slot \(index) wrongly idle") }
            if empty.contains(index) != (slot.state == .empty) { found.append("slot \(index) wrongly empty") }
            if slot.state == .idle, slot.generation != generation { found.append("slot \(index) is idle and stale") }
            let isUnderWay = [.connecting, .abandoned].contains(slot.state)
            if isUnderWay, slot.deadline == nil { found.append("slot \(index) has no deadline") }
            if !isUnderWay, slot.state != .tended, slot.deadline != nil {
                found.append("slot \(index) and its deadline")
            }
            if slot.state == .idle, slot.retirement != nil { found.append("slot \(index) is idle, but done with") }
            if slot.state == .empty, slot.endOfLife != nil { found.append("slot \(index) outlives its connection") }
            if isUnderWay != connects.contains(index) { found.append("slot \(index) and the list of connects") }
            if slot.state != .connecting, slot.waiter != nil { found.append("slot \(index) is awaited") }
        }
        if idle.count != slots.count(where: { $0.state == .idle }) { found.append("the idle set is miscounted") }
        if empty.count != slots.count(where: { $0.state == .empty }) { found.append("the empty set is miscounted") }
        for home in homes where home.slots.isEmpty { found.append("an empty home \(home.affinity)") }
        return found
    }
}

extension WaitQueue {
    var violations: [String] {
        var found: [String] = []
        var seen = 0
        for line in lines {
            var previous: Int?
            var next = line.head
            var length = 0
            while let index = next {
                if self[index].previous != previous { found.append("a link back is wrong") }
                if let previous, self[previous].ticket >= self[index].ticket { found.append("out of order") }
                previous = index
                next = self[index].next
                length += 1
                if length > count { return found + ["a line in a circle"] }
            }
            if line.tail != previous { found.append("the tail is wrong") }
            if line.count != length { found.append("a line of \(length) counted as \(line.count)") }
            seen += length
        }
        if seen != count { found.append("\(seen) in lines, counted \(count)") }
        let earliest = inOrder().map { self[$0].deadline }.min()
        if firstDeadline?.at != earliest { found.append("the first deadline is wrong") }
        return found
    }
}

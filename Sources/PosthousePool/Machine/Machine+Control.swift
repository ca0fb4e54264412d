// SPDX-License-Identifier: Apache-2.0

extension Machine {
    mutating func setServices(_ services: ServiceClass, for member: Int, now: Instant, _ actions: inout [Action]) {
        guard !isClosing else { return }
        if members[member].services.isEmpty, !services.isEmpty {
            // Whoever says so knows better than the failures of before.
            members[member].failures = 0
            members[member].retryAt = nil
        }
        members[member].services = services
        servicesChanged(now: now, &actions)
    }

    mutating func fence(_ member: Int, now: Instant, _ actions: inout [Action]) {
        members[member].services = []
        members[member].wasFenced = true
        renew(member, .fenced, &actions)
        for index in members[member].slots.indices where members[member].slots[index].state == .leased {
            actions.append(.interrupt(slotID(member, index), .fenced))
        }
        servicesChanged(now: now, &actions)
    }

    mutating func expire(_ member: Int, now: Instant, _ actions: inout [Action]) {
        members[member].wasFenced = false
        renew(member, .expired, &actions)
        recheckCover()
        plan(now: now, &actions)
    }

    mutating func resize(_ member: Int, soft: Int, hard: Int, now: Instant, _ actions: inout [Action]) {
        members[member].softLimit = soft
        members[member].hardLimit = hard
        while members[member].live > soft, let index = members[member].idle.last {
            retireIdle(member, index, .resized, &actions)
        }
        if members[member].isBursting, members[member].sockets <= soft {
            members[member].isBursting = false
            actions.append(.burstStopped(member))
        }
        plan(now: now, &actions)
    }

    /// The time that was asked for has come, or an earlier one.
    mutating func alarmRang(now: Instant, _ actions: inout [Action]) {
        armed = nil
        while let (index, at) = queue.firstDeadline, at <= now { timeOut(index, &actions) }
        for member in members.indices {
            for index in members[member].connecting where isDue(members[member].slots[index].deadline, now) {
                abandon(slotID(member, index), timedOut: true, now: now, &actions)
            }
            for index in members[member].abandoned where isDue(members[member].slots[index].deadline, now) {
                members[member].abandoned.removeAll { $0 == index }
                vacate(slotID(member, index), &actions)
            }
            if isDue(members[member].retryAt, now) { members[member].retryAt = nil }
        }
        plan(now: now, &actions)
        finishCloseIfDrained(&actions)
        if isDraining, isDue(closeDeadline, now) { interruptRest(&actions) }
        armNext(&actions)
    }

    /// No more requests. `deadline` nil: wait for leased connections as long as it takes; the earliest one counts.
    mutating func close(deadline: Instant?, now: Instant, _ actions: inout [Action]) {
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

    mutating func terminate(now: Instant, _ actions: inout [Action]) {
        if hasEnded { return }
        refuseAll(now: now, &actions)
        interruptRest(&actions)
    }

    /// Closed or terminated, and nobody waits for the rest any more.
    private var hasEnded: Bool { isClosing && !isDraining }

    private func isDue(_ time: Instant?, _ now: Instant) -> Bool {
        time.map { $0 <= now } ?? false
    }

    private mutating func armNext(_ actions: inout [Action]) {
        if let nextTime { arm(nextTime, &actions) }
    }

    /// When something is due next.
    var nextTime: Instant? {
        var times: [Instant?] = [queue.firstDeadline?.at, isDraining ? closeDeadline : nil]
        for member in members {
            times += (member.connecting + member.abandoned).map { member.slots[$0].deadline }
            times.append(member.retryAt)
        }
        return times.compactMap { $0 }.min()
    }

    /// Connections opened so far serve no new request.
    private mutating func renew(_ member: Int, _ reason: CloseReason, _ actions: inout [Action]) {
        members[member].generation += 1
        while let index = members[member].idle.first { retireIdle(member, index, reason, &actions) }
    }

    private mutating func servicesChanged(now: Instant, _ actions: inout [Action]) {
        served = members.reduce(into: []) { $0.formUnion($1.services) }
        recheckCover()
        serveFromIdle(&actions)
        plan(now: now, &actions)
    }

    /// Hands idle connections to the requests that became servable by them, first come first.
    private mutating func serveFromIdle(_ actions: inout [Action]) {
        while let index = firstServableFromIdle() {
            let waiter = queue.id(at: index)
            var emptyHanded: Int?
            guard
                let slot = takeIdle(
                    queue.demand(at: index),
                    holder: queue[index].holder,
                    emptyHanded: &emptyHanded
                )
            else { return }
            actions.append(.grant(waiter, slot))
            leaveQueue(index)
        }
    }

    private func firstServableFromIdle() -> Int? {
        var first: Int?
        for line in queue.lines {
            guard let head = line.head,
                members.indices.contains(where: { !members[$0].idle.isEmpty && serves($0, line.demand) })
            else { continue }
            if let other = first, queue[other].ticket < queue[head].ticket { continue }
            first = head
        }
        return first
    }
}

// MARK: - The end

extension Machine {
    private mutating func refuseAll(now: Instant, _ actions: inout [Action]) {
        guard !isClosing else { return }
        isClosing = true
        for index in queue.inOrder() { refuse(index, .closed, &actions) }
        for member in members.indices {
            members[member].services = []
            members[member].retryAt = nil
            while let index = members[member].idle.first { retireIdle(member, index, .poolClosed, &actions) }
            for index in members[member].connecting {
                abandon(slotID(member, index), timedOut: false, now: now, &actions)
            }
        }
        served = []
    }

    /// Graceful is over: what is still leased is interrupted, and nobody waits for it.
    private mutating func interruptRest(_ actions: inout [Action]) {
        var stillLeased = 0
        for member in members.indices {
            for index in members[member].slots.indices where members[member].slots[index].state == .leased {
                actions.append(.interrupt(slotID(member, index), .terminated))
                stillLeased += 1
            }
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

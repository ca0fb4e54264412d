// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

// Who may serve whom: members that come and go, and filters that change while requests wait.

extension Machine {
    mutating func addMember(_ configuration: PoolConfiguration) -> Int {
        members.append(Member(configuration))
        tables.append(SlotTable())
        return members.count - 1
    }

    /// The member serves nothing any more, whatever is said of it later.
    ///
    /// Its index is not used again: leases that are still out, work on connections that was written off, and requests that
    /// name it all know it by that index, and would mean another host if it were.
    mutating func removeMember(_ member: Int, now: Moment, _ actions: inout [Action]) {
        guard !members[member].isRemoved else { return }
        members[member].isRemoved = true
        members[member].services = []
        // Nobody waits for it, so nothing is due.
        members[member].retryAt = nil
        members[member].pausedUntil = nil
        members[member].upkeepAt = nil
        members[member].failingSince = nil
        members[member].isBroken = false
        renew(member, &actions)
        for index in tables[member].connects {
            let id = slotID(member, index)
            if holds(id, .connecting) { abandon(id, timedOut: false, now: now, &actions) }
        }
        for index in queue.inOrder() where queue.demand(at: index).member == member {
            refuse(index, .removed(member), &actions)
        }
        servicesChanged(now: now, &actions)
    }

    /// The members that reports tell of.
    var shown: [Int] { members.indices.filter { !members[$0].isRemoved || members[$0].sockets > 0 } }

    // MARK: Filters

    mutating func addFilter(_ members: MemberSet) -> FilterID {
        filters.add(members, among: self.members)
    }

    mutating func setFilter(_ id: FilterID, _ members: MemberSet, now: Moment, _ actions: inout [Action]) {
        if filters.set(id, members, among: self.members) { whoServesWhomChanged(now: now, &actions) }
    }

    mutating func removeFilter(_ id: FilterID, now: Moment, _ actions: inout [Action]) {
        if filters.remove(id) { whoServesWhomChanged(now: now, &actions) }
    }

    // MARK: Who serves whom

    /// Whether the demand lets the member serve it, whatever that serves.
    func admits(_ member: Int, _ demand: Demand) -> Bool {
        if let only = demand.member, only != member { return false }
        guard let filter = demand.filter else { return true }
        return filters[filter]?.members.contains(member) ?? false
    }

    /// Whether the member may serve the demand now: by what is wanted, or, while nobody whom it admits serves that, by a
    /// fallback.
    func serves(_ member: Int, _ demand: Demand) -> Bool {
        admits(member, demand) && !members[member].services.isDisjoint(with: active(demand))
    }

    func active(_ demand: Demand) -> ServiceClass {
        ServiceOrder.active(demand.wants, demand.fallback, demand.further, offered: offered(demand))
    }

    /// What those serve whom the demand admits.
    private func offered(_ demand: Demand) -> ServiceClass {
        if let only = demand.member { return admits(only, demand) ? members[only].services : [] }
        guard let filter = demand.filter else { return served }
        return filters[filter]?.served ?? []
    }

    mutating func servicesChanged(now: Moment, _ actions: inout [Action]) {
        served = members.reduce(into: []) { $0.formUnion($1.services) }
        filters.servicesChanged(members)
        whoServesWhomChanged(now: now, &actions)
    }

    private mutating func whoServesWhomChanged(now: Moment, _ actions: inout [Action]) {
        recheckCover(now: now)
        serveFromIdle(&actions)
        refuseHopeless(&actions)
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
                    preferring: queue[index].preferred,
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
                members.indices.contains(where: { members[$0].idle > 0 && serves($0, line.demand) })
            else { continue }
            if let other = first, queue[other].ticket < queue[head].ticket { continue }
            first = head
        }
        return first
    }
}

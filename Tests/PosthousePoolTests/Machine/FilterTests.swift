// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Filters: which members may serve some requests.
@Suite struct FilterTests {
    @Test func onlyMembersOfTheFilterServeARequest() throws {
        var pool = Script()
        let inside = pool.add(maximum: 1)
        let outside = pool.add(maximum: 5)
        _ = try pool.idle(2, Demand(wants: .all, member: outside))
        let filter = pool.machine.addFilter(MemberSet([inside]))
        let demand = Demand(wants: .all, filter: filter)
        #expect(try pool.leased(1, demand)[0].member == inside)
        let waiter = try pool.waiter(demand)
        #expect(pool.waiting() == 1, "though the other member has idle connections")
        #expect(pool.take().slot?.member == outside, "they are for those that do not mind")
        pool.cancel(waiter)
    }

    @Test func requestsThatBecomeServableAreServedAtOnceInTheOrderTheyCame() throws {
        var pool = Script()
        pool.add(maximum: 5)
        let added = pool.add(maximum: 3)
        let warm = try pool.idle(2, Demand(wants: .all, member: added))
        let filter = pool.machine.addFilter(MemberSet([]))
        let waiters = try (0..<4).map { _ in try pool.waiter(Demand(wants: .all, filter: filter)) }
        let actions = pool.step { $0.setFilter(filter, MemberSet([added]), now: $1, &$2) }
        #expect(actions.served == Array(waiters.prefix(2)))
        #expect(Set(actions.granted) == Set(warm))
        #expect(actions.connects.map(\.member) == [added], "there is room for one more")
        #expect(pool.connected(actions.connects[0]).served == [waiters[2]])
        #expect(pool.release(warm[0]).served == [waiters[3]])
    }

    @Test func whoCountsOnAConnectOfAMemberThatLeavesTheFilterCountsOnAnother() throws {
        var pool = Script()
        let first = pool.add(maximum: 1)
        let second = pool.add(maximum: 1)
        let filter = pool.machine.addFilter(MemberSet([first]))
        let (entry, actions) = pool.request(Demand(wants: .all, filter: filter))
        let connect = actions.connects[0]
        #expect(connect.member == first)
        let others = pool.step { $0.setFilter(filter, MemberSet([second]), now: $1, &$2) }.connects
        #expect(others.map(\.member) == [second])
        #expect(pool.connected(connect).served == [], "it rests")
        #expect(pool.connected(others[0]).served.map { .waiting($0) } == [entry])
    }

    @Test func theFallbackIsTakenWhileNoMemberOfTheFilterServesWhatIsWanted() throws {
        var pool = Script()
        let primary = pool.add(maximum: 2, serves: Script.primary)
        let stale = pool.add(maximum: 2, serves: Script.replica)
        let filter = pool.machine.addFilter(MemberSet([primary]))
        let demand = Demand(wants: Script.replica, fallback: Script.primary, filter: filter)
        #expect(try pool.leased(1, demand)[0].member == primary, "the replica is not good enough")
        pool.step { $0.setFilter(filter, MemberSet([primary, stale]), now: $1, &$2) }
        #expect(try pool.leased(1, demand)[0].member == stale, "now it is")
    }

    @Test func aRequestForOneMemberNeedsItToPassTheFilterToo() throws {
        var pool = Script()
        let only = pool.add(maximum: 1)
        let filter = pool.machine.addFilter(MemberSet([]))
        let waiter = try pool.waiter(Demand(wants: .all, member: only, filter: filter))
        let actions = pool.step { $0.setFilter(filter, MemberSet([only]), now: $1, &$2) }
        #expect(pool.connected(actions.connects[0]).served == [waiter])
    }

    @Test func nobodyServesRequestsOfARemovedFilterNotEvenALaterOneInItsPlace() throws {
        var pool = Script()
        pool.add(maximum: 5)
        let removed = pool.machine.addFilter(MemberSet([]))
        let waiter = try pool.waiter(Demand(wants: .all, filter: removed), patience: .seconds(1))
        pool.step { $0.removeFilter(removed, now: $1, &$2) }
        let later = pool.machine.addFilter(MemberSet([0]))
        #expect(later.index == removed.index)
        pool.step { $0.setFilter(removed, MemberSet([0]), now: $1, &$2) }
        #expect(pool.advance(.seconds(1)).refused == [waiter])
        #expect(try pool.leased(1, Demand(wants: .all, filter: later)).count == 1)
    }

    @Test func aFilterHasAnyNumberOfMembers() throws {
        var pool = Script()
        for _ in 0..<200 { pool.add(maximum: 1) }
        let chosen = [0, 63, 64, 127, 128, 199]
        let filter = pool.machine.addFilter(MemberSet(chosen))
        let slots = try pool.leased(chosen.count, Demand(wants: .all, filter: filter))
        #expect(slots.map(\.member).sorted() == chosen)
        _ = try pool.waiter(Demand(wants: .all, filter: filter))
    }

    @Test func membersThatAreAddedLaterAreOutsideUntilTheyArePutIn() throws {
        var pool = Script()
        let filter = pool.machine.addFilter(MemberSet([]))
        let waiter = try pool.waiter(Demand(wants: .all, filter: filter))
        let member = pool.add(maximum: 1)
        #expect(pool.waiting() == 1)
        let actions = pool.step { $0.setFilter(filter, MemberSet([member]), now: $1, &$2) }
        #expect(pool.connected(actions.connects[0]).served == [waiter])
    }

    @Test(.apart) func thousandsOfFiltersLeaveNoLinesBehind() throws {
        var pool = Script()
        pool.add(maximum: 1)
        let filters = (0..<2_000).map { _ in pool.machine.addFilter(MemberSet([])) }
        let waiters = filters.map {
            pool.machine.queue.enter(Demand(wants: .all, filter: $0), deadline: pool.now + .seconds(5), holder: 0)
        }
        #expect(pool.machine.queue.lines.count == 2_000)
        for waiter in waiters { pool.machine.queue.remove(at: waiter.index) }
        #expect(pool.machine.queue.lines.count <= 16)
        for filter in filters { pool.machine.filters.remove(filter) }
        for _ in 0..<2_000 { _ = pool.machine.addFilter(MemberSet([])) }
        #expect(pool.machine.filters.filters.count == 2_000)
    }

    // MARK: - Further fallbacks

    @Test func fallbacksAreTakenInTheirOrder() throws {
        let (first, second, third) = (ServiceClass(rawValue: 1), ServiceClass(rawValue: 2), ServiceClass(rawValue: 4))
        var pool = Script()
        let members = [third, second, first].map { pool.add(maximum: 9, serves: $0) }
        let demand = Demand(wants: first, fallback: second, further: [third])
        for member in members.reversed() {
            #expect(try pool.leased(1, demand)[0].member == member)
            pool.step { $0.setServices([], for: member, now: $1, &$2) }
        }
        let waiter = try pool.waiter(demand)
        let actions = pool.step { $0.setServices(third, for: members[0], now: $1, &$2) }
        #expect(actions.connects.map(\.member) == [members[0]])
        let better = pool.step { $0.setServices(second, for: members[1], now: $1, &$2) }
        #expect(better.connects.map(\.member) == [members[1]], "the better one is waited for now")
        #expect(pool.connected(actions.connects[0]).served == [])
        #expect(pool.connected(better.connects[0]).served == [waiter])
    }

    @Test func anOrderNamesNoServiceTwice() {
        let order: ServiceOrder = [ServiceClass(rawValue: 3), [], ServiceClass(rawValue: 2), ServiceClass(rawValue: 6)]
        #expect(order.steps == [ServiceClass(rawValue: 3), ServiceClass(rawValue: 4)])
        #expect(order.all == ServiceClass(rawValue: 7))
        let eight = ServiceOrder((0..<8).map { ServiceClass(rawValue: 1 << $0) })
        #expect(eight.steps.count == 8)
        #expect(eight.first(offeredBy: ServiceClass(rawValue: 0x90)) == ServiceClass(rawValue: 0x10))
        #expect(ServiceOrder().steps.isEmpty)
    }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Which member serves whom.
@Suite struct ChoosingTests {
    static let write = Demand(wants: Script.primary)
    static let read = Demand(wants: Script.replica)

    @Test func theMostFreeMemberIsChosen() throws {
        var pool = Script()
        let small = pool.add(maximum: 2)
        let large = pool.add(maximum: 5)
        let taken = try pool.leased(3)
        #expect(taken.map(\.member) == [large, large, large])
        #expect(try pool.leased(2).map(\.member).sorted() == [small, large], "two are equal then")
    }

    @Test func amongEqualsChanceDecides() throws {
        var chosen: Set<Int> = []
        for seed in 0..<20 {
            var pool = Script(seed: UInt64(seed))
            pool.add(maximum: 2)
            pool.add(maximum: 2)
            pool.add(maximum: 2)
            chosen.insert(try pool.leased(1)[0].member)
        }
        #expect(chosen == [0, 1, 2])
    }

    @Test func aNewMemberWithNothingOpenDoesNotStarve() throws {
        var pool = Script()
        let old = pool.add(maximum: 3)
        _ = try pool.idle(3)
        let busy = pool.take().slot
        let new = pool.add(maximum: 10)
        let (slot, emptyHanded) = pool.take()
        #expect(slot?.member == old, "an idle connection is better than a new one")
        #expect(emptyHanded == new)
        let connects = pool.step { $0.openAhead(new, now: $1, &$2) }.connects
        #expect(connects.map(\.member) == [new])
        #expect(pool.take().emptyHanded == nil, "one at a time")
        pool.connected(connects[0])
        #expect(pool.take().slot?.member == new)
        _ = busy
    }

    @Test func aMemberThatFailsToConnectHasNoUnopenedCapacity() throws {
        var pool = Script()
        let healthy = pool.add(maximum: 2, serves: Script.primary)
        _ = try pool.idle(2)
        let failing = pool.add(maximum: 10, serves: Script.replica)
        let connect = pool.request(Self.read).actions.connects[0]
        pool.connectFailed(connect)
        pool.step { $0.setServices(.all, for: healthy, now: $1, &$2) }
        pool.step { $0.setServices(.all, for: failing, now: $1, &$2) }
        let (slot, emptyHanded) = pool.take()
        #expect(slot?.member == healthy)
        #expect(emptyHanded == nil)
    }

    @Test func theFallbackIsTakenOnlyWhileNobodyServesWhatIsWanted() throws {
        var pool = Script()
        let primary = pool.add(maximum: 1, serves: Script.primary)
        let replica = pool.add(maximum: 1, serves: Script.replica)
        let demand = Demand(wants: Script.replica, fallback: Script.primary)
        let slot = try pool.leased(1, demand)[0]
        #expect(slot.member == replica)
        let waiter = try pool.waiter(demand)
        #expect(pool.member.connecting == 0, "the replica is busy, not gone")
        let actions = pool.step { $0.setServices([], for: replica, now: $1, &$2) }
        #expect(actions.connects.map(\.member) == [primary], "nobody serves reads any more")
        #expect(pool.connected(actions.connects[0]).served == [waiter])
    }

    @Test func aReaderWithFallbackTakesWhicheverComesFirst() throws {
        var pool = Script()
        let primary = pool.add(maximum: 1, serves: Script.primary)
        let replica = pool.add(maximum: 1, serves: [])
        let written = try pool.leased(1, Self.write)[0]
        let demand = Demand(wants: Script.replica, fallback: Script.primary)
        let first = try pool.waiter(demand)
        #expect(pool.release(written).served == [first])
        let second = try pool.waiter(demand)
        let actions = pool.step { $0.setServices(Script.replica, for: replica, now: $1, &$2) }
        #expect(actions.connects.map(\.member) == [replica])
        #expect(pool.connected(actions.connects[0]).served == [second])
        #expect(pool.machine.members[primary].leased == 1)
    }

    @Test func aPromotedMemberServesWaitingWritersAtOnceFromItsWarmConnections() throws {
        var pool = Script()
        let old = pool.add(maximum: 4, serves: Script.primary)
        let promoted = pool.add(maximum: 4, serves: Script.replica)
        let warm = try pool.idle(3, Self.read)
        pool.step { $0.fence(old, now: $1, &$2) }
        let writers = try (0..<5).map { _ in try pool.waiter(Self.write) }
        let actions = pool.step { $0.setServices(Script.primary, for: promoted, now: $1, &$2) }
        #expect(actions.served == Array(writers.prefix(3)), "in the order they came")
        #expect(Set(actions.granted) == Set(warm))
        #expect(actions.connects.map(\.member) == [promoted], "there is room for one more")
    }

    @Test func tenThousandWritersDoNotStandBeforeAReader() throws {
        var pool = Script()
        pool.add(maximum: 1, serves: Script.replica)
        let slot = try pool.leased(1, Self.read)[0]
        for _ in 0..<10_000 {
            _ = pool.machine.queue.enter(Self.write, deadline: pool.now + .seconds(5), holder: 0)
        }
        let reader = try pool.waiter(Self.read)
        #expect(pool.release(slot).served == [reader])
    }

    @Test func theEarliestOfSeveralLinesGoesFirst() throws {
        var pool = Script()
        pool.add(maximum: 1, serves: .all)
        let slot = try pool.leased(1)[0]
        let demands = [Self.read, Self.write, Demand(wants: .all), Self.read, Demand(wants: .all, member: 0)]
        let waiters = try demands.map { try pool.waiter($0) }
        for waiter in waiters { #expect(pool.release(slot).served == [waiter]) }
    }

    @Test func aRequestForOneMemberIsServedByNoOther() throws {
        var pool = Script()
        let wanted = pool.add(maximum: 1)
        pool.add(maximum: 5)
        let demand = Demand(wants: .all, member: wanted)
        #expect(try pool.leased(1, demand)[0].member == wanted)
        let (_, actions) = pool.request(demand)
        #expect(actions == [])
    }

    @Test func anIdleConnectionOfTheOwnAffinityIsPreferred() throws {
        var pool = Script.lone(maximum: 4)
        let connects = (0..<4).flatMap { _ in pool.request().actions.connects }
        let slots = zip(connects, [7, 8, 0, 8]).map { connect, affinity in
            pool.connected(connect, affinity: affinity).granted[0]
        }
        for slot in slots { pool.release(slot) }
        #expect(pool.take(affinity: 8).slot == slots[1])
        #expect(pool.take(affinity: 8).slot == slots[3])
        #expect(pool.take(affinity: 8).slot == slots[0], "any other is better than none")
        #expect(pool.take(affinity: 0).slot == slots[2])
    }

    @Test func lowSlotsStayBusySoThatABurstsConnectionsFallIdle() throws {
        var pool = Script.lone(maximum: 100)
        let slots = try pool.idle(100)
        #expect(slots.map(\.index).sorted() == Array(0..<100))
        for _ in 0..<5 {
            #expect(pool.take().slot?.index == 0)
            #expect(pool.take().slot?.index == 1)
            pool.release(slots.first { $0.index == 1 }!)
            pool.release(slots.first { $0.index == 0 }!)
        }
    }
}

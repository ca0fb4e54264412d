// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Members that are taken out.
@Suite struct RemovalTests {
    @Test func idleConnectionsAreClosedNowAndLeasedOnesWhenTheyComeBack() throws {
        var pool = Script()
        let gone = pool.add(maximum: 3)
        let slots = try pool.idle(3)
        let leased = try #require(pool.take().slot)
        let actions = pool.step { $0.removeMember(gone, now: $1, &$2) }
        #expect(Set(actions.closes) == Set(slots).subtracting([leased]))
        #expect(actions.contains(.summon(leased)))
        #expect(pool.release(leased) == [.close(leased, .removed)])
        for slot in slots { pool.closed(slot) }
        #expect(pool.machine.shown == [])
    }

    @Test func whoCountedOnAConnectThereIsServedByAnother() throws {
        var pool = Script()
        let gone = pool.add(maximum: 1)
        let other = pool.add(maximum: 1, serves: [])
        let (entry, actions) = pool.request()
        let connect = actions.connects[0]
        pool.step { $0.setServices(.all, for: other, now: $1, &$2) }
        let after = pool.step { $0.removeMember(gone, now: $1, &$2) }
        #expect(after.contains(.abandonConnect(connect, timedOut: false)))
        #expect(after.connects.map(\.member) == [other])
        #expect(pool.connected(connect) == [.close(connect, .late)])
        #expect(pool.connected(after.connects[0]).served.map { .waiting($0) } == [entry])
    }

    @Test func requestsForItAloneAreRefused() throws {
        var pool = Script()
        let gone = pool.add(maximum: 1)
        let leased = try pool.leased(1)[0]
        let demand = Demand(wants: .all, member: gone)
        let waiter = try pool.waiter(demand)
        let other = try pool.waiter()
        let actions = pool.step { $0.removeMember(gone, now: $1, &$2) }
        #expect(actions.contains(.fail(waiter, .removed(gone))))
        #expect(pool.request(demand).entry == .removed(gone))
        #expect(pool.machine.queue.contains(other), "another member may come")
        pool.release(leased)
    }

    @Test func whateverIsSaidOfItLaterItServesNothing() throws {
        var pool = Script()
        let gone = pool.add(maximum: 1)
        pool.step { $0.removeMember(gone, now: $1, &$2) }
        for _ in 0..<2 {
            #expect(pool.step { $0.setServices(.all, for: gone, now: $1, &$2) } == [])
            #expect(pool.step { $0.expire(gone, now: $1, &$2) } == [])
            #expect(pool.step { $0.fence(gone, now: $1, &$2) } == [])
            #expect(pool.step { $0.resize(gone, soft: 5, hard: 5, now: $1, &$2) } == [])
            #expect(pool.step { $0.removeMember(gone, now: $1, &$2) } == [])
        }
        _ = try pool.waiter()
        #expect(pool.add(maximum: 1) != gone, "its number is not used again")
        #expect(pool.machine.members[1].connecting == 1)
    }

    @Test func thePoolClosesWithoutThoseThatAreGone() throws {
        var pool = Script()
        let gone = pool.add(maximum: 1)
        let leased = try pool.leased(1)[0]
        pool.step { $0.removeMember(gone, now: $1, &$2) }
        #expect(!pool.step { $0.close(deadline: nil, now: $1, &$2) }.contains(.finishClose(stillLeased: 0)))
        pool.release(leased)
        #expect(pool.closed(leased) == [.finishClose(stillLeased: 0)])
    }
}

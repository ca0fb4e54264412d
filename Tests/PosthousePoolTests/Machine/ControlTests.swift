// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Limits, generations, fences, claims.
@Suite struct ControlTests {
    @Test func aBurstEndsAtExactlyTheSoftLimit() throws {
        var pool = Script.lone(maximum: 5, burst: 10)
        var slots: [SlotID] = []
        var events: [Action] = []
        for _ in 0..<10 {
            let (_, actions) = pool.request()
            events += actions.filter { !actions.connects.map(Action.connect).contains($0) }
            for connect in actions.connects { slots += pool.connected(connect).granted }
        }
        #expect(events == [.burstStarted(0), .limitReached(0)])
        let waiter = try pool.waiter()
        #expect(pool.release(slots[9]).served == [waiter], "no churn while somebody waits")
        var closes: [SlotID] = []
        for slot in slots { closes += pool.release(slot).closes }
        #expect(closes.count == 5)
        #expect(pool.member.live == 5)
        let after = closes.flatMap { pool.closed($0) }
        #expect(after == [.burstStopped(0)])
    }

    @Test func aSmallerPoolClosesIdleConnectionsAtOnceAndLeasedOnesOnReturn() throws {
        var pool = Script.lone(maximum: 6)
        let slots = try pool.leased(6)
        for slot in slots[3...] { pool.release(slot) }
        let closes = pool.step { $0.resize(0, soft: 2, hard: 2, now: $1, &$2) }.closes
        #expect(closes.count == 3, "all idle ones")
        for slot in closes { pool.closed(slot) }
        #expect(pool.release(slots[0]) == [.close(slots[0], .resized)])
        pool.closed(slots[0])
        #expect(pool.release(slots[1]) == [])
        #expect(pool.release(slots[2]) == [])
        #expect(pool.member.live == 2)
    }

    @Test func aSmallerHardLimitHoldsThoughRequestsWait() throws {
        var pool = Script.lone(maximum: 2)
        let slots = try pool.leased(2)
        let waiter = try pool.waiter()
        pool.step { $0.resize(0, soft: 1, hard: 1, now: $1, &$2) }
        #expect(pool.release(slots[0]) == [.close(slots[0], .resized)])
        #expect(pool.closed(slots[0]) == [])
        #expect(pool.release(slots[1]).served == [waiter])
    }

    @Test func newRoomServesWaitingRequestsAtOnce() throws {
        var pool = Script.lone(maximum: 1)
        _ = try pool.leased(1)
        let waiters = try (0..<2).map { _ in try pool.waiter() }
        let connects = pool.step { $0.resize(0, soft: 3, hard: 3, now: $1, &$2) }.connects
        #expect(connects.count == 2)
        #expect(connects.flatMap { pool.connected($0).served } == waiters)
    }

    @Test func noSequenceOfResizesMovesTheLimits() throws {
        var pool = Script.lone(maximum: 16)
        let held = try pool.leased(1)[0]
        for size in [4, 2, 1, 5, 1, 3] { pool.step { $0.resize(0, soft: size, hard: size, now: $1, &$2) } }
        pool.release(held)
        var open = try pool.leased(3)
        #expect(pool.request().actions == [])
        pool.release(open.removeLast())
        #expect(pool.member.live == 3)
    }

    @Test func aSmallerPoolKeepsWhatComesBackWhileTheRestIsClosing() throws {
        var pool = Script.lone(maximum: 4)
        let slots = try pool.leased(4)
        for slot in slots.prefix(2) { pool.release(slot) }
        #expect(pool.step { $0.resize(0, soft: 2, hard: 2, now: $1, &$2) }.closes.count == 2)
        for slot in slots.suffix(2) { #expect(pool.release(slot) == [], "the others are on their way out") }
        #expect(pool.member.idle == 2)
    }

    @Test func expiryClosesIdleConnectionsNowLeasedOnesOnReturnAndNewOnesOnArrival() throws {
        var pool = Script.lone(maximum: 3)
        let slots = try pool.leased(2)
        pool.release(slots[0])
        _ = pool.take()
        let (_, actions) = pool.request()
        pool.release(slots[0])
        let (_, more) = pool.request()
        #expect(more == [])
        let connect = actions.connects[0]
        let expired = pool.step { $0.expire(0, now: $1, &$2) }
        #expect(expired.connects == [], "the hard limit holds while the old ones are there")
        #expect(pool.release(slots[1]) == [.close(slots[1], .expired)])
        #expect(pool.connected(connect) == [.close(connect, .expired)], "a stale connection is not admitted")
        #expect(pool.closed(connect).connects.count == 1, "the waiting request gets a fresh one")
    }

    @Test func aFenceCutsTheMemberOffUntilItServesAgain() throws {
        var pool = Script()
        let fenced = pool.add(maximum: 3, serves: Script.primary)
        let slots = try pool.leased(2, ChoosingTests.write)
        pool.release(slots[0])
        let actions = pool.step { $0.fence(fenced, now: $1, &$2) }
        #expect(actions == [.close(slots[0], .fenced), .summon(slots[1]), .interrupt(slots[1], .fenced)])
        pool.closed(slots[0])
        let writer = try pool.waiter(ChoosingTests.write)
        #expect(pool.member.connecting == 0)
        #expect(pool.release(slots[1]) == [.close(slots[1], .fenced)])
        #expect(pool.closed(slots[1]) == [])
        let connects = pool.step { $0.setServices(Script.primary, for: fenced, now: $1, &$2) }.connects
        #expect(pool.connected(connects[0]).served == [writer])
    }

    @Test func aConnectUnderWayToAFencedMemberIsClosedOnArrivalAndItsRequestServedElsewhere() throws {
        var pool = Script()
        let fenced = pool.add(maximum: 3)
        let (_, actions) = pool.request()
        let other = pool.add(maximum: 1)
        let next = pool.step { $0.fence(fenced, now: $1, &$2) }.connects
        #expect(next.map(\.member) == [other])
        #expect(pool.connected(actions.connects[0]) == [.close(actions.connects[0], .fenced)])
        #expect(pool.connected(next[0]).granted == next)
    }

    @Test func onlyAnIdleConnectionCanBeClaimed() throws {
        var pool = Script.lone(maximum: 2)
        let slot = try pool.leased(1)[0]
        #expect(pool.claim(slot) == .refused)
        pool.release(slot)
        let before = slot
        #expect(pool.claim(slot) == .taken)
        #expect(pool.claim(slot) == .refused, "by one at a time")
        #expect(pool.take().slot == nil, "it is out of the idle ones")
        let waiter = try pool.waiter()
        #expect(pool.step { $0.claimEnded(slot, .keep, &$2) }.served == [waiter])
        pool.release(slot, .closed)
        pool.closed(slot)
        #expect(pool.claim(before) == .refused, "a slot's name dies with its connection")
    }

    @Test func aClaimedConnectionThatIsEvictedMakesRoom() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.idle(1)[0]
        #expect(pool.claim(slot) == .taken)
        let waiter = try pool.waiter()
        #expect(pool.step { $0.claimEnded(slot, .evict, &$2) } == [.close(slot, .evicted)])
        let connects = pool.closed(slot).connects
        #expect(pool.connected(connects[0]).served == [waiter])
    }

    @Test func aClaimedConnectionIsClosedIfItExpiredMeanwhile() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.idle(1)[0]
        #expect(pool.claim(slot) == .taken)
        pool.step { $0.expire(0, now: $1, &$2) }
        #expect(pool.step { $0.claimEnded(slot, .keep, &$2) } == [.close(slot, .expired)])
    }
}

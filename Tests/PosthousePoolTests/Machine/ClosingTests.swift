// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// The end of a pool.
@Suite struct ClosingTests {
    @Test func waitersAreRefusedInOrderIdleOnesCloseNowLeasedOnesOnReturn() throws {
        var pool = Script.lone(maximum: 3)
        let slots = try pool.leased(3)
        let waiters = try (0..<4).map { _ in try pool.waiter() }
        #expect(pool.step { $0.close(deadline: nil, now: $1, &$2) } == waiters.map { .fail($0, .closed) })
        var end: [Action] = []
        for slot in slots {
            #expect(end == [], "not before the last one is closed")
            #expect(pool.release(slot) == [.close(slot, .poolClosed)])
            end = pool.closed(slot)
        }
        #expect(end == [.finishClose(stillLeased: 0)])
    }

    @Test func closingAnIdlePoolEndsWhenItsConnectionsAreClosed() throws {
        var pool = Script.lone(maximum: 2)
        let slot = try pool.idle(1)[0]
        #expect(pool.step { $0.close(deadline: nil, now: $1, &$2) } == [.close(slot, .poolClosed)])
        #expect(pool.closed(slot) == [.finishClose(stillLeased: 0)])
        #expect(pool.step { $0.close(deadline: nil, now: $1, &$2) } == [.finishClose(stillLeased: 0)])
    }

    @Test func atTheDeadlineTheRestIsInterruptedAndCounted() throws {
        var pool = Script.lone(maximum: 2)
        let slots = try pool.leased(2)
        pool.step { $0.close(deadline: $1 + .seconds(3), now: $1, &$2) }
        pool.release(slots[0])
        pool.closed(slots[0])
        let actions = pool.advance(.seconds(3))
        #expect(actions == [.interrupt(slots[1], .terminated), .voidPermits, .finishClose(stillLeased: 1)])
        #expect(pool.release(slots[1]) == [.close(slots[1], .poolClosed)])
    }

    @Test func theEarliestDeadlineOfSeveralClosesCounts() throws {
        var pool = Script.lone(maximum: 1)
        _ = try pool.leased(1)
        pool.step { $0.close(deadline: nil, now: $1, &$2) }
        pool.step { $0.close(deadline: $1 + .seconds(9), now: $1, &$2) }
        pool.step { $0.close(deadline: $1 + .seconds(2), now: $1, &$2) }
        #expect(pool.advance(.seconds(2)).contains(.finishClose(stillLeased: 1)))
    }

    @Test func terminatingInterruptsWhatIsLeasedAndEndsACloseThatWaits() throws {
        var pool = Script.lone(maximum: 2)
        let slots = try pool.leased(2)
        pool.release(slots[1])
        let waiter = pool.request()
        _ = waiter
        pool.step { $0.close(deadline: nil, now: $1, &$2) }
        let actions = pool.step { $0.terminate(now: $1, &$2) }
        #expect(actions.contains(.interrupt(slots[0], .terminated)))
        #expect(actions.suffix(2) == [.voidPermits, .finishClose(stillLeased: 2)])
    }

    @Test func aConnectUnderWayIsGivenUpAndTheCloseWaitsForItsEnd() throws {
        var pool = Script.lone(maximum: 1)
        let connect = pool.request().actions.connects[0]
        let actions = pool.step { $0.close(deadline: nil, now: $1, &$2) }
        #expect(actions.last == .abandonConnect(connect, timedOut: false))
        #expect(pool.connected(connect) == [.close(connect, .late)])
        #expect(pool.closed(connect) == [.finishClose(stillLeased: 0)])
    }

    @Test func aConnectThatNeverEndsDoesNotHoldTheCloseUp() throws {
        var pool = Script.lone(maximum: 1)
        _ = pool.request()
        pool.step { $0.close(deadline: nil, now: $1, &$2) }
        #expect(pool.advance(.seconds(1)).last == .finishClose(stillLeased: 0))
    }

    @Test func aMemberCannotServeAfterTheClose() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.idle(1)[0]
        pool.step { $0.close(deadline: nil, now: $1, &$2) }
        #expect(pool.step { $0.setServices(.all, for: 0, now: $1, &$2) } == [])
        #expect(pool.take().slot == nil)
        pool.closed(slot)
    }

    @Test func aClaimedConnectionIsClosedWhenItsClaimEnds() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.idle(1)[0]
        #expect(pool.claim(slot) == .taken)
        #expect(pool.step { $0.close(deadline: nil, now: $1, &$2) } == [])
        #expect(pool.step { $0.claimEnded(slot, .keep, &$2) } == [.close(slot, .poolClosed)])
        #expect(pool.closed(slot) == [.finishClose(stillLeased: 0)])
    }
}

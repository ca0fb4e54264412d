// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// Work on connections that nobody has, and what the housekeeper finds.
@Suite struct TendingTests {
    private func pool(_ maximum: Int, _ change: (inout PoolConfiguration) -> Void = { _ in }) -> Script {
        var configuration = PoolConfiguration(maximumSize: maximum, idleTimeout: nil, maximumLifetime: nil)
        configuration.workTimeout = .seconds(1000)
        change(&configuration)
        var script = Script()
        script.add(configuration)
        return script
    }

    // MARK: Recycling

    @Test func aSoiledConnectionIsBroughtIntoOrderBeforeAnybodyGetsIt() throws {
        var pool = pool(1)
        let slot = try pool.leased(1)[0]
        let waiter = try pool.waiter()
        #expect(pool.release(slot, .soiled) == [.tend(slot, .recycle)])
        #expect(pool.take().slot == nil)
        #expect(pool.begin(tending: slot) == [])
        #expect(pool.tended(slot) == [.grant(waiter, slot)])
    }

    @Test func aConnectionThatCannotBeBroughtIntoOrderIsClosedAndTheWaiterGetsAnother() throws {
        var pool = pool(1)
        let slot = try pool.leased(1)[0]
        let waiter = try pool.waiter()
        pool.release(slot, .soiled)
        pool.begin(tending: slot)
        #expect(pool.tended(slot, isFit: false) == [.close(slot, .unfit)])
        let connects = pool.closed(slot).connects
        #expect(pool.connected(connects[0]).served == [waiter])
    }

    @Test func workThatTakesTooLongIsCancelledOnceAndItsConnectionClosedWhateverComesOfIt() throws {
        var pool = pool(1) { $0.workTimeout = .seconds(2) }
        let slot = try pool.leased(1)[0]
        pool.release(slot, .soiled)
        pool.begin(tending: slot)
        #expect(pool.advance(.milliseconds(1999)) == [])
        #expect(pool.advance(.milliseconds(1)) == [.cancelTending(slot, isLate: true)])
        #expect(pool.elapse(.seconds(60)).isEmpty)
        #expect(pool.member.sockets == 1, "it counts until it ends")
        #expect(pool.tended(slot) == [.close(slot, .unfit)])
    }

    @Test func aFenceEndsWorkOnConnectionsThatNobodyHas() throws {
        var pool = pool(2)
        let slot = try pool.leased(1)[0]
        pool.release(slot, .soiled)
        pool.begin(tending: slot)
        #expect(
            pool.step { $0.fence(0, now: $1, &$2) }
                == [.cancelTending(slot, isLate: false), .interrupt(slot, .fenced)]
        )
        #expect(pool.tended(slot) == [.close(slot, .fenced)])
    }

    @Test func aCloseCancelsTheWorkAndWaitsForItsEnd() throws {
        var pool = pool(1)
        let slot = try pool.leased(1)[0]
        pool.release(slot, .soiled)
        pool.begin(tending: slot)
        #expect(pool.step { $0.close(deadline: nil, now: $1, &$2) } == [.cancelTending(slot, isLate: false)])
        #expect(pool.tended(slot, isFit: false) == [.close(slot, .poolClosed)])
        #expect(pool.closed(slot) == [.finishClose(stillLeased: 0)])
    }

    @Test func aConnectionIsStaleIfItsMemberExpiredWhileItWasTended() throws {
        var pool = pool(1)
        let slot = try pool.leased(1)[0]
        pool.release(slot, .soiled)
        pool.begin(tending: slot)
        pool.step { $0.expire(0, now: $1, &$2) }
        #expect(pool.tended(slot) == [.close(slot, .expired)])
    }

    // MARK: Keep-alive

    @Test func restingConnectionsAreKeptAliveOneAtATime() throws {
        var pool = pool(3) { $0.keepAliveInterval = .seconds(40) }
        let slots = try pool.idle(3)
        let begun = pool.elapse(.seconds(50)).map(\.action)
        #expect(begun == [.tend(slots[0], .keepAlive)])
        #expect(pool.member.idle == 2, "the others are there for requests")
        #expect(pool.tended(slots[0]) == [.tend(slots[1], .keepAlive)])
        #expect(pool.tended(slots[1]) == [.tend(slots[2], .keepAlive)])
        #expect(pool.tended(slots[2]) == [])
        #expect(pool.elapse(.seconds(39)).isEmpty, "each has been asked a moment ago")
        #expect(pool.elapse(.seconds(11)).map(\.action) == [.tend(slots[0], .keepAlive)])
    }

    @Test func whoIsUsedNeedsNoKeepAlive() throws {
        var pool = pool(2) { $0.keepAliveInterval = .seconds(40) }
        let slots = try pool.idle(2)
        for _ in 0..<10 {
            pool.use(slots[0])
            for action in pool.elapse(.seconds(20)).map(\.action) {
                #expect(action == .tend(slots[1], .keepAlive))
                pool.tended(slots[1])
            }
        }
    }

    @Test func aConnectionThatIsNotAliveIsClosed() throws {
        var pool = pool(1) { $0.keepAliveInterval = .seconds(40) }
        let slot = try pool.idle(1)[0]
        pool.elapse(.seconds(50))
        let waiter = try pool.waiter()
        #expect(pool.tended(slot, isFit: false) == [.close(slot, .unfit)])
        let connects = pool.closed(slot).connects
        #expect(pool.connected(connects[0]).served == [waiter])
    }

    @Test func aRequestThatComesDuringAKeepAliveIsServedAfterIt() throws {
        var pool = pool(1) { $0.keepAliveInterval = .seconds(40) }
        let slot = try pool.idle(1)[0]
        pool.elapse(.seconds(50))
        let waiter = try pool.waiter()
        #expect(pool.tended(slot) == [.grant(waiter, slot)])
    }

    @Test func connectionsThatAreBroughtIntoOrderAllTheTimeDoNotKeepOthersFromBeingKeptAlive() throws {
        var pool = pool(2) { $0.keepAliveInterval = .seconds(40) }
        let slots = try pool.idle(2)
        var kept: [SlotID] = []
        var busy = slots[0]
        for _ in 0..<40 {
            busy = try #require(pool.take().slot)
            #expect(busy == slots[0])
            pool.use(busy)
            pool.release(busy, .soiled)
            pool.begin(tending: busy)
            // The housekeeper comes while it is being recycled, each time.
            for action in pool.elapse(.seconds(4)).map(\.action) {
                guard case .tend(let slot, .keepAlive) = action else { continue }
                kept.append(slot)
                pool.tended(slot)
            }
            pool.tended(busy)
        }
        #expect(!kept.isEmpty)
        #expect(kept.allSatisfy { $0 == slots[1] })
    }

    @Test func anIdleTimeoutDoesNotTouchWhatIsBeingKeptAlive() throws {
        var pool = pool(2) {
            $0.keepAliveInterval = .seconds(40)
            $0.idleTimeout = .seconds(60)
        }
        let slots = try pool.idle(2)
        let done = pool.elapse(.seconds(100)).map(\.action)
        #expect(done.tended == [slots[0]])
        #expect(done.closes == [slots[1]])
        #expect(pool.tended(slots[0]) == [])
        #expect(pool.elapse(.seconds(20)).map(\.action).closes == [slots[0]], "kept alive is not used")
    }

    // MARK: Doubt

    @Test func aConnectionThatHasRestedIsDoubtedOnceUntilItIsUsed() throws {
        var pool = pool(2) { $0.validation = .ifIdle(longerThan: .seconds(40)) }
        let slots = try pool.idle(2)
        #expect(pool.elapse(.seconds(39)).isEmpty)
        #expect(pool.elapse(.seconds(11)).map(\.action) == [.doubt(slots[0]), .doubt(slots[1])])
        #expect(pool.elapse(.seconds(200)).isEmpty)
        pool.use(slots[1])
        #expect(pool.elapse(.seconds(50)).map(\.action) == [.doubt(slots[1])])
    }

    @Test func aConnectionThatWasKeptAliveIsNotDoubted() throws {
        var pool = pool(1) {
            $0.validation = .ifIdle(longerThan: .seconds(40))
            $0.keepAliveInterval = .seconds(20)
        }
        let slot = try pool.idle(1)[0]
        let done = pool.elapse(.seconds(300)) { script, action in
            if case .tend(let slot, .keepAlive) = action { script.tended(slot) }
        }
        #expect(done.count > 5)
        #expect(done.allSatisfy { $0.action == .tend(slot, .keepAlive) })
    }

    @Test func whatIsLeasedIsNotDoubted() throws {
        var pool = pool(1) { $0.validation = .ifIdle(longerThan: .seconds(40)) }
        _ = try pool.leased(1)
        #expect(pool.elapse(.seconds(300)).isEmpty)
    }

    // MARK: Leaks

    @Test func aLeaseThatLastsIsReportedOnce() throws {
        var pool = pool(2) { $0.leakDetectionThreshold = .seconds(40) }
        let slots = try pool.leased(2)
        pool.elapse(.seconds(20))
        pool.use(slots[0])
        pool.release(slots[0])
        _ = pool.take()
        let began = pool.now
        let reported = pool.elapse(.seconds(300))
        #expect(reported.count == 2)
        guard case .leak(slots[1], let held, let at) = reported[0].action else {
            throw Disappointment("no leak", #_sourceLocation)
        }
        #expect(held >= .seconds(40) && held <= .seconds(50) && at == reported[0].at)
        guard case .leak(slots[0], _, let later) = reported[1].action else {
            throw Disappointment("no leak", #_sourceLocation)
        }
        #expect(later - began >= .seconds(40) && later - began <= .seconds(50))
    }

    @Test func theNextLeaseOfTheSameConnectionIsReportedAgain() throws {
        var pool = pool(1) { $0.leakDetectionThreshold = .seconds(40) }
        let slot = try pool.leased(1)[0]
        #expect(pool.elapse(.seconds(60)).count == 1)
        pool.use(slot)
        pool.release(slot)
        _ = pool.take()
        #expect(pool.elapse(.seconds(60)).count == 1)
    }

    @Test func leasesThatFollowEachOtherAreNoLeak() throws {
        var pool = pool(1) { $0.leakDetectionThreshold = .seconds(40) }
        let slot = try pool.leased(1)[0]
        for _ in 0..<20 {
            #expect(pool.elapse(.seconds(30)).isEmpty)
            pool.use(slot)
        }
    }
}

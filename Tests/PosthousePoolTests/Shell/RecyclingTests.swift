// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// What is done with a connection that came back, and with one that rests.
@Suite(.timeLimit(.minutes(20)))
struct RecyclingTests {
    private func recycling(
        _ size: Int = 1,
        _ change: (inout PoolConfiguration) -> Void = { _ in }
    ) throws -> TestPool {
        try TestPool(size, strategy: ScriptedStrategy(recycles: true)) {
            $0.acquireTimeout = .seconds(1000)
            change(&$0)
        }
    }

    @Test func aConnectionThatComesBackIsRecycledBeforeTheNextRequestGetsIt() async throws {
        let test = try recycling()
        test.strategy.recycling.always(.slow)
        let holder = test.holder()
        _ = try await holder.held()
        let waiter = try await test.waiter()
        try await holder.end()
        try await eventually { test.strategy.recycling.waiting == 1 }
        #expect(!waiter.isHolding)
        #expect(try !test.takesAtOnce())
        test.strategy.recycling.open()
        #expect(try await waiter.held().number == 1)
        test.strategy.recycling.always(.ok)
        try await waiter.end()
        try await test.expectAtRest()
        #expect(test.strategy.counts.creates == 1)
    }

    @Test func whatNeedsNoRecyclingIsNotRecycled() async throws {
        let test = try recycling()
        test.strategy.setNeedsRecycling(false)
        for _ in 0..<5 { try await test.pool.withConnection { _ in } }
        #expect(test.strategy.recycling.begun == 0)
        test.strategy.setNeedsRecycling(true)
        try await test.pool.withConnection { _ in }
        try await test.expectAtRest()
        #expect(test.strategy.recycling.ended == 1)
    }

    @Test func aStrategyThatDoesNotRecycleIsNotAsked() async throws {
        let test = try TestPool()
        for _ in 0..<5 { try await test.pool.withConnection { _ in } }
        #expect(test.strategy.recycling.begun == 0)
    }

    @Test func aConnectionThatCannotBeRecycledIsClosedAndTheWaiterGetsAnother() async throws {
        let test = try recycling()
        test.strategy.recycling.script(.error)
        let holder = test.holder()
        _ = try await holder.held()
        let waiter = try await test.waiter()
        try await holder.end()
        #expect(try await waiter.held().number == 2)
        #expect(test.strategy.closedNumbers == [1])
        #expect(test.observer.closes == [.unfit])
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test func recyclingThatHangsIsCancelledInterruptedAndItsConnectionClosed() async throws {
        let test = try recycling()
        test.strategy.recycling.script(.never)
        let holder = test.holder()
        _ = try await holder.held()
        let waiter = try await test.waiter()
        try await holder.end()
        try await eventually { test.strategy.recycling.running == 1 }
        try await test.advanceUntil(.seconds(5)) { waiter.isHolding }
        #expect(try await waiter.held().number == 2)
        #expect(test.strategy.recycling.cancelled == 1)
        #expect(test.strategy.interrupted == [.unresponsive])
        #expect(test.observer.closes == [.unfit])
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test func recyclingThatIsDeafAndEndsWellTooLateIsNoUse() async throws {
        let test = try recycling()
        test.strategy.recycling.script(.slow)
        try await test.pool.withConnection { _ in }
        try await eventually { test.strategy.recycling.waiting == 1 }
        try await test.advanceUntil(.seconds(5)) { !test.strategy.interrupted.isEmpty }
        #expect(test.strategy.counts.closed == 0)
        test.strategy.recycling.open()
        try await test.expectAtRest()
        #expect(test.strategy.closedNumbers == [1])
    }

    @Test func aConnectionThatIsClosedAfterItsRecyclingIsNotKept() async throws {
        let test = try recycling()
        test.strategy.recycling.script(.slow)
        try await test.pool.withConnection { _ in }
        try await eventually { test.strategy.recycling.waiting == 1 }
        test.strategy.kill(1)
        test.strategy.recycling.open()
        try await test.expectAtRest()
        #expect(test.status.size == 0)
    }

    @Test func aConnectionThatIsInvalidAfterItsRecyclingIsDroppedWithoutClosingIt() async throws {
        let test = try recycling()
        test.strategy.recycling.script(.slow)
        try await test.pool.withConnection { _ in }
        try await eventually { test.strategy.recycling.waiting == 1 }
        test.strategy.invalidate(1)
        test.strategy.recycling.open()
        try await test.expectAtRest()
        #expect(test.strategy.counts.closed == 0)
        #expect(test.strategy.counts.dropped == 1)
        #expect(test.observer.closes == [.invalid])
    }

    @Test(arguments: [Gate.slow, .never])
    func closeWaitsForRecyclingAndLeavesNothing(gate: Gate) async throws {
        let test = try recycling()
        test.strategy.recycling.script(gate)
        try await test.pool.withConnection { _ in }
        try await eventually { test.strategy.recycling.running == 1 }
        let closing = Task { await test.pool.close() }
        if gate == .slow {
            try await eventually { test.strategy.recycling.waiting == 1 }
            test.strategy.recycling.open()
        }
        #expect(await closing.value == 0)
        #expect(test.strategy.counts.live == 0)
        #expect(test.strategy.counts.overlaps == 0)
        try await eventually { test.time.sleepers == 0 }
    }

    @Test func aFenceStopsRecycling() async throws {
        let test = try recycling()
        test.strategy.recycling.script(.never)
        try await test.pool.withConnection { _ in }
        try await eventually { test.strategy.recycling.running == 1 }
        test.pool.group.fence(test.status.member)
        try await test.expectAtRest()
        #expect(test.strategy.recycling.cancelled == 1)
        #expect(test.strategy.interrupted == [.fenced])
        #expect(test.observer.closes == [.fenced])
    }

    // MARK: Keep-alive

    @Test func restingConnectionsAreKeptAliveOneAfterTheOther() async throws {
        let test = try TestPool(3) { $0.keepAliveInterval = .seconds(40) }
        try await test.warmUp(3)
        test.strategy.validation.always(.slow)
        try await test.elapse(.seconds(50), in: 5)
        try await eventually { test.strategy.validation.waiting == 1 }
        #expect(test.status.available == 2)
        #expect(test.status.size == 3)
        for round in 1...3 {
            try await eventually { test.strategy.validation.waiting == 1 }
            #expect(test.strategy.validation.begun == round)
            test.strategy.validation.open()
        }
        try await test.expectAtRest()
        #expect(test.status.available == 3)
        #expect(test.strategy.validation.begun == 3)
    }

    @Test func aConnectionThatIsNotAliveIsClosedAndTheMinimumRefilled() async throws {
        let test = try TestPool(2) {
            $0.keepAliveInterval = .seconds(40)
            $0.minimumSize = 1
        }
        try await eventually { test.status.available == 1 }
        test.strategy.validation.script(.error)
        try await test.elapse(.seconds(50), in: 5)
        try await eventually { test.strategy.closedNumbers == [1] }
        try await test.expectAtRest()
        try await eventually { test.status.available == 1 }
        #expect(test.observer.closes == [.unfit])
    }

    @Test func aKeepAliveThatHangsIsEnded() async throws {
        let test = try TestPool { $0.keepAliveInterval = .seconds(40) }
        try await test.warmUp(1)
        test.strategy.validation.script(.never)
        try await test.elapse(.seconds(50), in: 5)
        try await eventually { test.strategy.validation.running == 1 }
        let waiter = try await test.waiter(deadline: test.time.now + .seconds(1000))
        try await test.advanceUntil(.seconds(5)) { waiter.isHolding }
        #expect(try await waiter.held().number == 2)
        #expect(test.strategy.interrupted == [.unresponsive])
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test(arguments: [Gate.ok, .error])
    func aRequestDuringAKeepAliveIsServedAfterIt(end: Gate) async throws {
        let test = try TestPool { $0.keepAliveInterval = .seconds(40) }
        try await test.warmUp(1)
        test.strategy.validation.script(.slow)
        try await test.elapse(.seconds(50), in: 5)
        try await eventually { test.strategy.validation.waiting == 1 }
        let waiter = try await test.waiter()
        if end == .error { test.strategy.kill(1) }
        test.strategy.validation.open()
        #expect(try await waiter.held().number == (end == .ok ? 1 : 2))
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test func manyTendingsOfTheSameConnectionEachEndInTheirTurn() async throws {
        let test = try recycling()
        for _ in 0..<300 { try await test.pool.withConnection { _ in } }
        try await test.expectAtRest()
        #expect(test.strategy.recycling.ended == 300)
        #expect(test.strategy.counts.creates == 1)
        // The last one can still be ended.
        test.strategy.recycling.script(.never)
        try await test.pool.withConnection { _ in }
        try await eventually { test.strategy.recycling.running == 1 }
        try await test.advanceUntil(.seconds(5)) { test.strategy.recycling.running == 0 }
        try await test.expectAtRest()
    }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Every place in which a request can be cancelled: it ends, and costs nobody anything.
@Suite(.timeLimit(.minutes(20)))
struct CancellationTests {
    @Test func aTaskCancelledBeforeItAsksGetsAnIdleConnectionAndNothingElse() async throws {
        let test = try TestPool()
        try await test.warmUp(1)
        let executor = ManualExecutor()
        let served = executor.task { try await test.pool.withConnection { $0.number } }
        served.cancel()
        executor.run()
        #expect(try await served.value == 1)

        let holder = test.holder()
        _ = try await holder.held()
        let refused = executor.task { try await test.pool.withConnection { _ in } }
        refused.cancel()
        executor.run()
        let error = await #expect(throws: PoolError.self) { try await refused.value }
        #expect(error?.code == .cancelled)
        #expect(test.strategy.counts.creates == 1)
        try await holder.end()
        try await test.expectAtRest()
    }

    @Test func aCancelledWaiterLeavesAtOnce() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let waiter = try await test.waiter()
        let next = try await test.waiter()
        waiter.cancel()
        #expect(try await waiter.failure()?.code == .cancelled)
        #expect(test.status.waiting == 1)
        try await holder.end()
        _ = try await next.held()
        try await next.end()
        try await test.expectAtRest()
    }

    @Test func aConnectionGrantedToATaskThatIsCancelledBeforeItRunsGoesToTheNextRequest() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let executor = ManualExecutor()
        let waiter = executor.task { try await test.pool.withConnection { _ in } }
        executor.run()
        let next = try await test.waiter()
        try await holder.end()
        #expect(executor.ready == 1)
        #expect(!next.isHolding)
        waiter.cancel()
        executor.run()
        let error = await #expect(throws: PoolError.self) { try await waiter.value }
        #expect(error?.code == .cancelled)
        #expect(try await next.held().number == 1)
        try await next.end()
        try await test.expectAtRest()
    }

    @Test func theConnectOfACancelledRequestGoesOnAndServesTheNextOne() async throws {
        let test = try TestPool()
        test.strategy.always(.slow)
        let waiter = try await test.waiter()
        try await eventually { test.strategy.counts.opening == 1 }
        waiter.cancel()
        #expect(try await waiter.failure()?.code == .cancelled)
        let next = try await test.waiter()
        test.strategy.open()
        #expect(try await next.held().number == 1)
        #expect(test.strategy.counts.creates == 1)
        try await next.end()
        try await test.expectAtRest()
    }

    @Test func aBodyThatIsCancelledGivesItsConnectionBack() async throws {
        let test = try TestPool()
        let served = Served()
        let task = Task {
            try await test.pool.withConnection { _ in
                served.note(1)
                try await Task.sleep(for: .seconds(100_000))
            }
        }
        try await eventually { served.order == [1] }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try await test.expectAtRest()
        #expect(test.status.available == 1)
    }

    @Test func aCancellationIsNeverLostWhereverItComes() async throws {
        let test = try TestPool(2)
        try await test.warmUp(2)
        // Nobody advances the clock: only cancellation or a connection can end these.
        for round in 0..<60 {
            let blockers = [test.holder(), test.holder()]
            let tasks = (0..<20).map { _ in
                Task { try await test.pool.withConnection { _ in await Task.yield() } }
            }
            for _ in 0..<(round % 7) { await Task.yield() }
            for task in tasks { task.cancel() }
            for task in tasks {
                if case .failure(let error) = await task.result {
                    #expect((error as? PoolError)?.code == .cancelled)
                }
            }
            for blocker in blockers { try await blocker.end() }
        }
        try await test.expectAtRest()
        #expect(test.status.available == 2)
    }

    @Test func aGrantAndACancellationThatMeetLoseNoConnection() async throws {
        let test = try TestPool(1)
        try await test.warmUp(1)
        for _ in 0..<300 {
            let holder = test.holder()
            _ = try await holder.held()
            let waiter = try await test.waiter()
            async let returned: Void = holder.end()
            async let cancelled: Void = waiter.cancel()
            _ = try await (returned, cancelled)
            try await eventually { waiter.isHolding || waiter.error != nil }
            if waiter.isHolding { try await waiter.end() }
            try await eventually { test.status.available == 1 }
        }
        try await test.expectAtRest()
        #expect(test.strategy.counts.creates == 1)
    }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct SizeTests {
    @Test func aBurstGoesUpToItsLimitAndEndsAtExactlyTheMaximumSize() async throws {
        let test = try TestPool(2) { $0.burstLimit = 4 }
        var holders: [Holder] = []
        for _ in 0..<4 {
            let holder = test.holder()
            _ = try await holder.held()
            holders.append(holder)
        }
        #expect(test.status.size == 4)
        let waiter = try await test.waiter()
        #expect(test.strategy.counts.creates == 4)
        // Somebody waits: the first connection back is handed on, not closed and opened anew.
        let first = try #require(holders[0].connection)
        try await holders[0].end()
        #expect(try await waiter.held() === first)
        #expect(test.strategy.counts.closed == 0)
        // Nobody waits: those above the maximum size are closed as they come back.
        try await holders[1].end()
        try await holders[2].end()
        #expect(test.strategy.counts.closed == 2)
        try await holders[3].end()
        try await waiter.end()
        try await test.expectAtRest()
        #expect(test.status.available == 2)
        #expect(test.strategy.counts.creates == 4)
        let events = test.observer.events.filter { [.burstStarted, .limitReached, .burstStopped].contains($0) }
        #expect(events == [.burstStarted, .limitReached, .burstStopped])
        #expect(test.observer.events.count { $0 == .closed(.overSoftLimit) } == 2)
    }

    @Test func withoutABurstLimitTheMaximumSizeIsHard() async throws {
        let test = try TestPool(2)
        let tasks = (0..<50).map { _ in Task { try await test.pool.withConnection { _ in await Task.yield() } } }
        for task in tasks { try await task.value }
        #expect(test.strategy.counts.mostLive <= 2)
        try await test.expectAtRest()
    }

    @Test func limitsOutOfRangeAreErrors() throws {
        let strategy = ScriptedStrategy()
        for configuration in [
            PoolConfiguration(maximumSize: 0), PoolConfiguration(maximumSize: 3, burstLimit: 2),
            PoolConfiguration(connectTimeout: .zero), PoolConfiguration(maximumConcurrentConnects: 0),
            PoolConfiguration(backoffBase: .zero),
        ] {
            let error = #expect(throws: PoolError.self) {
                try ConnectionPool(strategy: strategy, configuration: configuration)
            }
            #expect(error?.code == .invalidConfiguration)
        }
        let test = try TestPool(3) { $0.burstLimit = 5 }
        for (size, burst) in [(0, nil), (-1, nil), (6, 5)] as [(Int, Int?)] {
            let error = #expect(throws: PoolError.self) {
                try test.pool.resize(maximumSize: size, burstLimit: burst)
            }
            #expect(error?.code == .invalidConfiguration)
        }
        #expect(test.status.maximumSize == 3)
    }

    @Test func shrinkingClosesExcessIdleConnectionsAtOnceAndLeasedOnesWhenTheyComeBack() async throws {
        let test = try TestPool(4)
        try await test.warmUp(4)
        let holders = [test.holder(), test.holder()]
        for holder in holders { _ = try await holder.held() }
        try test.pool.resize(maximumSize: 1)
        #expect(test.strategy.counts.closed == 2)
        #expect(test.status.leased == 2)
        try await holders[0].end()
        #expect(test.strategy.counts.closed == 3)
        try await holders[1].end()
        try await test.expectAtRest()
        #expect(test.status.available == 1)
        #expect(test.strategy.counts.closed == 3)
    }

    @Test func growingServesWaitingRequestsAtOnce() async throws {
        let test = try TestPool(1)
        let holder = test.holder()
        _ = try await holder.held()
        let waiters = [try await test.waiter(), try await test.waiter()]
        try test.pool.resize(maximumSize: 3)
        for waiter in waiters { _ = try await waiter.held() }
        for holder in waiters + [holder] { try await holder.end() }
        try await test.expectAtRest()
    }

    @Test func noSequenceOfResizesLosesOrAddsCapacity() async throws {
        for seed in Seeds.fromEnvironment(default: 5) {
            var random = SplitMix64(seed: seed)
            let test = try TestPool(3)
            let traffic = (0..<4).map { _ in
                Task {
                    while !Task.isCancelled {
                        try? await test.pool.withConnection { _ in await Task.yield() }
                    }
                }
            }
            var size = 3
            for _ in 0..<60 {
                size = Int.random(in: 1...6, using: &random)
                let burst = Bool.random(using: &random) ? size + Int.random(in: 0...3, using: &random) : nil
                try test.pool.resize(maximumSize: size, burstLimit: burst)
                await Task.yield()
            }
            try test.pool.resize(maximumSize: size)
            for task in traffic { task.cancel() }
            for task in traffic { await task.value }
            try await test.expectAtRest()
            let holders = (0..<size).map { _ in test.holder() }
            for holder in holders { _ = try await holder.held() }
            let extra = try await test.waiter()
            #expect(test.status.size == size, "POSTHOUSE_TEST_SEED=\(seed)")
            for holder in holders { try await holder.end() }
            _ = try await extra.held()
            try await extra.end()
            try await test.expectAtRest()
        }
    }

    @Test func tenThousandTasksOnFourConnectionsAreServedInOrderAndLeaveNothingBehind() async throws {
        let test = try TestPool(4) { $0.acquireTimeout = .seconds(1000) }
        try await test.warmUp(4)
        let holders = (0..<4).map { _ in test.holder() }
        for holder in holders { _ = try await holder.held() }
        let executor = ManualExecutor()
        let served = Served()
        let tasks = (0..<10_000).map { index in
            executor.task {
                try await test.pool.withConnection { _ in
                    served.note(index)
                    await Task.yield()
                }
            }
        }
        executor.run()
        #expect(test.status.waiting == 10_000)
        for holder in holders {
            try await holder.end()
            executor.run()
        }
        for task in tasks { try await task.value }
        #expect(served.order == Array(0..<10_000))
        #expect(test.strategy.counts.creates == 4)
        try await test.expectAtRest()
        #expect(test.core.waiterPlaces == 0)
        #expect(test.core.slotPlaces == 4)
    }

    @Test func cancelledWaitersLeaveNothingInTheQueue() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let stays = try await test.waiter()
        let executor = ManualExecutor()
        for _ in 0..<100 {
            let tasks = (0..<100).map { _ in executor.task { try await test.pool.withConnection { _ in } } }
            executor.run()
            for task in tasks { task.cancel() }
            executor.run()
            for task in tasks { _ = await task.result }
        }
        #expect(test.status.waiting == 1)
        #expect(test.core.waiterPlaces <= 101)
        try await holder.end()
        _ = try await stays.held()
        try await stays.end()
        try await test.expectAtRest()
    }
}

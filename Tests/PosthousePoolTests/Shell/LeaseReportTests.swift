// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// Who holds what: leaks, the longest leases, uses, and what else the observer hears.
@Suite(.timeLimit(.minutes(20)))
struct LeaseReportTests {
    private func named(
        _ name: String,
        _ test: TestPool,
        line: UInt,
        until end: Promise<Void>
    ) -> Task<Void, any Error> {
        Task(name: name) {
            let lease = try await test.pool.acquire(fileID: "App/Orders.swift", line: line)
            await end.value()
            try lease.release()
        }
    }

    @Test func aLeaseThatLastsIsReportedWithItsPlaceAndTaskAndOnceMoreWhenItEnds() async throws {
        let test = try TestPool(2) { $0.leakDetectionThreshold = .seconds(40) }
        try await test.warmUp(2)
        let end = Promise<Void>()
        let task = named("order 7", test, line: 12, until: end)
        try await eventually { test.status.leased == 1 }
        try await test.elapse(.seconds(60), in: 6)
        try await eventually { test.observer.leaked.count == 1 }
        let report = try #require(test.observer.leaked.first)
        #expect(report.site.description == "App/Orders.swift:12")
        #expect(report.taskName == "order 7")
        #expect(report.member.label == "test")
        #expect(report.heldAtLeast >= .seconds(40) && report.heldAtLeast <= .seconds(60))
        try await test.elapse(.seconds(60), in: 6)
        #expect(test.observer.leaked.count == 1, "once")
        #expect(test.observer.endedLeaks.isEmpty)
        end.keep(())
        try await task.value
        let ended = try #require(test.observer.endedLeaks.first)
        #expect(ended.site == report.site && ended.taskName == report.taskName)
        #expect(ended.heldAtLeast >= .seconds(100) && ended.heldAtLeast <= .seconds(120))
        try await test.expectAtRest()
        #expect(test.status.available == 2, "it is kept")
        // Reported or not, the connection lies open again.
        #expect(try test.takesAtOnce())
        #expect(test.observer.endedLeaks.count == 1)
    }

    @Test func aLeakThatIsDetachedHasEnded() async throws {
        let test = try TestPool { $0.leakDetectionThreshold = .seconds(40) }
        let lease = try await test.pool.acquire()
        try await test.elapse(.seconds(60), in: 6)
        try await eventually { test.observer.leaked.count == 1 }
        try test.strategy.close(lease.detach())
        #expect(test.observer.endedLeaks.count == 1)
        try await test.expectAtRest()
    }

    @Test func withoutAThresholdNothingIsReported() async throws {
        let test = try TestPool { $0.keepAliveInterval = .seconds(10) }
        let lease = try await test.pool.acquire()
        try await test.elapse(.seconds(600), in: 6)
        try lease.release()
        #expect(test.observer.leaked.isEmpty && test.observer.endedLeaks.isEmpty)
    }

    @Test func aTimeoutNamesTheLongestLeasesTheLongestFirst() async throws {
        let test = try TestPool(4) { $0.leakDetectionThreshold = .seconds(1000) }
        try await test.warmUp(4)
        var tasks: [Task<Void, any Error>] = []
        let ends = (0..<4).map { _ in Promise<Void>() }
        for index in 0..<4 {
            tasks.append(named("task \(index)", test, line: UInt(index), until: ends[index]))
            try await eventually { test.status.leased == index + 1 }
            // Somebody looks at the holders: a request that does not wait.
            let quick = test.holder(deadline: test.time.now)
            if index < 3 { _ = try? await quick.held() }
            try? await quick.end()
            try await test.elapse(.seconds(300))
        }
        let waiter = try await test.waiter(deadline: test.time.now + .seconds(5))
        test.time.advance(by: .seconds(5))
        let error = try #require(try await waiter.failure())
        #expect(error.code == .timedOut)
        #expect(error.longestLeases.count == 3)
        #expect(error.longestLeases.map(\.heldAtLeast) == error.longestLeases.map(\.heldAtLeast).sorted(by: >))
        #expect(error.longestLeases.first?.taskName == "task 0")
        #expect(error.longestLeases.first?.site.description == "App/Orders.swift:0")
        #expect(error.message.contains("App/Orders.swift:0"))
        for end in ends { end.keep(()) }
        for task in tasks { try await task.value }
        try await test.expectAtRest()
    }

    // MARK: Uses

    @Test func whoWantsToKnowUsesHearsHowLongEachLeaseLasted() async throws {
        let test = try TestPool(wantsUses: true)
        for seconds in 1...3 {
            try await test.pool.withConnection { _ in test.time.advance(by: .seconds(seconds)) }
        }
        let lease = try await test.pool.acquire()
        test.time.advance(by: .seconds(4))
        try test.strategy.close(lease.detach())
        #expect(test.observer.uses == [.seconds(1), .seconds(2), .seconds(3), .seconds(4)])
        try await test.expectAtRest()
    }

    @Test func whoDoesNotWantToKnowUsesHearsOfNone() async throws {
        let test = try TestPool()
        try await test.pool.withConnection { _ in }
        #expect(test.observer.uses.isEmpty)
    }

    @Test func aConnectionThatNobodyGotIsNotUsed() async throws {
        let test = try TestPool(wantsUses: true)
        let holder = test.holder()
        _ = try await holder.held()
        // Granted to a task that is cancelled before it runs.
        let executor = ManualExecutor()
        let waiter = executor.task { try await test.pool.withConnection { _ in } }
        executor.run()
        try await holder.end()
        waiter.cancel()
        executor.run()
        _ = await waiter.result
        try await test.expectAtRest()
        #expect(test.observer.uses.count == 1)
    }

    // MARK: Refusals

    @Test func theObserverHearsOfAPoolThatIsUnavailableAndOfEachRefusal() async throws {
        let queue = PoolGroupConfiguration(
            acquireTimeout: .seconds(1000),
            connectFailurePolicy: .keepWaiting,
            failFastAfter: .seconds(3)
        )
        let test = try TestPool(2, queue: queue)
        test.strategy.always(.error)
        let waiters = [test.holder(), test.holder()]
        try await test.advanceUntil(.seconds(1)) { waiters.allSatisfy { $0.error != nil } }
        for waiter in waiters {
            #expect(waiter.poolError?.code == .unavailable)
            #expect(waiter.poolError?.underlying as? ScriptedError == ScriptedError(what: "connect"))
        }
        let error = await #expect(throws: PoolError.self) { try await test.pool.withConnection { _ in } }
        #expect(error?.code == .unavailable)
        #expect(test.observer.events.count { $0 == .unavailable } == 1)
        #expect(test.observer.events.count { $0 == .refused(.unavailable) } == 3)
        test.strategy.always(.ok)
        try await test.advanceUntil(.seconds(10)) { test.status.available == 1 }
        #expect(test.observer.events.count { $0 == .available } == 1)
        try await test.pool.withConnection { _ in }
        try await test.expectAtRest()
    }

    @Test func theObserverHearsOfRefusalsBecauseOfOverloadAndFullQueues() async throws {
        let queue = PoolGroupConfiguration(
            acquireTimeout: .seconds(1000),
            maximumWaiters: 2,
            overload: OverloadControl()
        )
        let test = try TestPool(1, queue: queue)
        let holder = test.holder()
        _ = try await holder.held()
        let waiter = try await test.waiter()
        test.time.advance(by: .milliseconds(101))
        let hasty = try await test.waiter()
        let error = await #expect(throws: PoolError.self) { try await test.pool.withConnection { _ in } }
        #expect(error?.code == .exhausted)
        test.time.advance(by: .milliseconds(5))
        #expect(try await hasty.failure()?.code == .overloaded)
        #expect(test.observer.events.filter { $0 == .refused(.exhausted) || $0 == .refused(.overloaded) }.count == 2)
        try await holder.end()
        _ = try await waiter.held()
        try await waiter.end()
        try await test.expectAtRest()
    }
}

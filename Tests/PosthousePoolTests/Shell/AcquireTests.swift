// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct AcquireTests {
    @Test func aConnectionIsOpenedOnlyWhenNoneIsIdleAndThereIsRoom() async throws {
        let test = try TestPool(2)
        #expect(test.strategy.counts.creates == 0)
        let first = test.holder()
        let one = try await first.held()
        try await first.end()
        let again = test.holder()
        #expect(try await again.held() === one)
        let second = test.holder()
        #expect(try await second.held() !== one)
        let third = try await test.waiter()
        #expect(test.strategy.counts.creates == 2)
        try await again.end()
        #expect(try await third.held() === one)
        try await third.end()
        try await second.end()
        try await test.expectAtRest()
    }

    @Test func anIdleConnectionIsHandedOutWithoutSuspending() async throws {
        let test = try TestPool()
        try await test.warmUp(1)
        let executor = ManualExecutor()
        let task = executor.task { try await test.pool.acquire().release() }
        // All of it is one job.
        #expect(executor.ready == 1)
        executor.run()
        try await task.value
        #expect(test.strategy.counts.creates == 1)
    }

    @Test func isClosedIsAskedAtEveryRetrievalAndReturn() async throws {
        let test = try TestPool()
        try await test.warmUp(1)
        #expect(test.strategy.counts.checks == 2)
        try await test.pool.withConnection { _ in }
        #expect(test.strategy.counts.checks == 4)
    }

    @Test func tryAcquireTakesWhatIsIdleAndOpensNothing() async throws {
        let test = try TestPool()
        #expect(try !test.takesAtOnce())
        #expect(test.strategy.counts.creates == 0)
        try await test.warmUp(1)
        guard let lease = try test.pool.tryAcquire() else {
            Issue.record("nothing is idle")
            return
        }
        #expect(lease.connection.number == 1)
        #expect(try !test.takesAtOnce())
        try lease.release()
        try await test.expectAtRest()
    }

    @Test func aConnectionThatWasFoundClosedIsClosedAndAnotherOneTaken() async throws {
        let test = try TestPool(2)
        try await test.warmUp(2)
        test.strategy.kill(1)
        let number = try await test.pool.withConnection { $0.number }
        #expect(number == 2)
        #expect(test.strategy.closedNumbers == [1])
        #expect(test.observer.events.contains(.closed(.reportedClosed)))
        try await test.expectAtRest()
    }

    @Test func aCheckThatThrowsDropsTheConnectionWithoutClosingItAndAnotherOneIsTried() async throws {
        let test = try TestPool(2)
        try await test.warmUp(2)
        test.strategy.invalidate(1)
        let number = try await test.pool.withConnection { $0.number }
        #expect(number == 2)
        #expect(test.strategy.closedNumbers == [])
        #expect(test.strategy.counts.dropped == 1)
        #expect(test.observer.events.contains(.closed(.invalid)))
        try await test.expectAtRest()
    }

    @Test func aCheckThatThrowsCancellationFailsTheRequestAsCancelled() async throws {
        let test = try TestPool(2)
        try await test.warmUp(2)
        test.strategy.cancelAtCheck(1)
        let error = await #expect(throws: PoolError.self) { try await test.pool.withConnection { _ in } }
        #expect(error?.code == .cancelled)
        #expect(test.strategy.closedNumbers == [])
        try await test.expectAtRest()
        #expect(test.status.size == 1)
    }

    @Test func manyDeadIdleConnectionsCostOneConnectAndOneDeadline() async throws {
        let test = try TestPool(5)
        try await test.warmUp(5)
        for number in 1...5 { test.strategy.kill(number) }
        test.strategy.always(.slow)
        let waiter = try await test.waiter(deadline: test.time.now + .seconds(3))
        try await eventually { test.strategy.counts.opening == 1 }
        #expect(test.strategy.counts.closed == 5)
        #expect(test.strategy.counts.creates == 6)
        test.time.advance(by: .seconds(3))
        let error = try #require(try await waiter.failure())
        #expect(error.code == .timedOut)
        #expect(error.waited == .seconds(3))
        test.strategy.open()
        try await test.expectAtRest()
        #expect(test.status.available == 1)
    }

    @Test func aRequestThatWasHandedADeadConnectionKeepsItsPlace() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let first = try await test.waiter()
        let second = try await test.waiter()
        // Usable when it comes back, dead when the first waiter looks at it.
        test.strategy.onCheck { [strategy = test.strategy] number in
            strategy.onCheck(nil)
            strategy.onCheck { [strategy] number in
                strategy.onCheck(nil)
                strategy.kill(number)
            }
        }
        try await holder.end()
        #expect(try await first.held().number == 2)
        #expect(!second.isHolding)
        try await first.end()
        _ = try await second.held()
        try await second.end()
        try await test.expectAtRest()
    }

    @Test func requestsAreServedInTheOrderTheyCame() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        var waiters: [Holder] = []
        for _ in 0..<5 { waiters.append(try await test.waiter()) }
        var current = holder
        for index in waiters.indices {
            try await current.end()
            _ = try await waiters[index].held()
            #expect(waiters[(index + 1)...].allSatisfy { !$0.isHolding })
            current = waiters[index]
        }
        try await current.end()
        try await test.expectAtRest()
    }

    @Test func aNewcomerNeverOvertakesARequestThatWasJustServed() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let executor = ManualExecutor()
        let waiter = executor.task { try await test.pool.withConnection { $0.number } }
        executor.run()
        try await holder.end()
        // The connection is the waiter's, though it has not run since.
        #expect(executor.ready == 1)
        #expect(try !test.takesAtOnce())
        executor.run()
        #expect(try await waiter.value == 1)
        try await test.expectAtRest()
    }

    @Test func aDeadlineInThePastTakesWhatIsIdleOrFailsAtOnce() async throws {
        let test = try TestPool()
        try await test.warmUp(1)
        let past = test.time.now - .seconds(1)
        let lease = try await test.pool.acquire(deadline: past)
        let error = await #expect(throws: PoolError.self) { try await test.pool.acquire(deadline: past).release() }
        #expect(error?.code == .timedOut)
        try lease.release()
        try await test.expectAtRest()
    }

    @Test func eachRequestTimesOutAtItsOwnDeadlineWhateverTheOrder() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let late = try await test.waiter(deadline: test.time.now + .seconds(3))
        let early = try await test.waiter(deadline: test.time.now + .seconds(1))
        let middle = try await test.waiter(deadline: test.time.now + .seconds(2))
        for (index, waiter) in [early, middle, late].enumerated() {
            test.time.advance(by: .seconds(1))
            let error = try #require(try await waiter.failure())
            #expect(error.code == .timedOut)
            #expect(error.waited == .seconds(index + 1))
        }
        #expect(test.observer.events.count { $0 == .timedOut } == 3)
        try await holder.end()
        try await test.expectAtRest()
    }

    @Test func aTimeoutSaysWhatThePoolWasDoing() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let waiter = try await test.waiter()
        test.time.advance(by: .seconds(5))
        let error = try #require(try await waiter.failure())
        #expect(error.snapshot?.members.first?.leased == 1)
        #expect(error.waited == .seconds(5))
        for words in ["\"test\"", "5.0 s", "1 leased", "0 idle", "0 connecting", "limit 1"] {
            #expect(error.message.contains(words), "\(error.message)")
        }
        #expect(!error.message.contains("this task already holds"))
        try await holder.end()
    }

    @Test func aTaskThatWaitsForWhatItHoldsIsToldSo() async throws {
        let test = try TestPool()
        try await test.warmUp(1)
        let task = Task {
            try await test.pool.withConnection { _ in
                try await test.pool.withConnection { _ in }
            }
        }
        try await eventually { test.status.waiting == 1 }
        test.time.advance(by: .seconds(5))
        let error = await #expect(throws: PoolError.self) { try await task.value }
        #expect(error?.message.contains("this task already holds 1 of them") == true, "\(error?.message ?? "")")
        try await test.expectAtRest()
    }

    @Test func aFullQueueTurnsRequestsAwayButNotOneThatComesBack() async throws {
        let time = ManualTime()
        let strategy = ScriptedStrategy()
        let group = PoolGroup<FakeConnection>(
            configuration: PoolGroupConfiguration(maximumWaiters: 1),
            time: time
        )
        let member = try group.addMember(
            label: "db1",
            configuration: PoolConfiguration(maximumSize: 1),
            strategy: strategy
        )
        group.setServices(.all, for: member)
        let holder = Holder { try await group.acquire() }
        _ = try await holder.held()
        let waiter = Holder { try await group.acquire() }
        try await eventually { group.snapshot().waiting == 1 }
        let error = await #expect(throws: PoolError.self) { try await group.acquire().release() }
        #expect(error?.code == .exhausted)
        #expect(error?.message.contains("maximumWaiters") == true)
        try await holder.end()
        _ = try await waiter.held()
        try await waiter.end()
        await group.close()
    }

    @Test func statusCountsEverything() async throws {
        let test = try TestPool(3) { $0.burstLimit = 4 }
        try await test.warmUp(2)
        let holder = test.holder()
        _ = try await holder.held()
        test.strategy.always(.slow)
        let second = test.holder()
        _ = try await second.held()
        let third = try await test.waiter()
        let status = test.status
        #expect(status.label == "test")
        #expect(status.maximumSize == 3)
        #expect(status.burstLimit == 4)
        #expect(status.size == 2)
        #expect(status.available == 0)
        #expect(status.leased == 2)
        #expect(status.connecting == 1)
        #expect(status.waiting == 1)
        try await eventually { test.strategy.counts.opening == 1 }
        test.strategy.open()
        _ = try await third.held()
        for holder in [holder, second, third] { try await holder.end() }
        try await test.expectAtRest()
        #expect(test.status.available == 3)
    }

    @Test func aRequestPrefersConnectionsOfItsAffinity() async throws {
        let test = try TestPool(3)
        test.strategy.setAffinities(1, 2, 3)
        try await test.warmUp(3)
        for (affinity, number) in [(3, 3), (2, 2), (1, 1), (0, 1), (9, 1)] {
            let lease = try await test.pool.acquire(affinity: affinity)
            #expect(lease.connection.number == number)
        }
        try await test.expectAtRest()
    }
}

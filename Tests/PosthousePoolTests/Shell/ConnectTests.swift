// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct ConnectTests {
    @Test func aFailedConnectReachesTheRequestThatAskedForItAndFreesTheSlot() async throws {
        let test = try TestPool()
        test.strategy.script(.error)
        let error = await #expect(throws: PoolError.self) { try await test.pool.withConnection { _ in } }
        #expect(error?.code == .connectFailed)
        #expect(error?.underlying as? ScriptedError == ScriptedError(what: "connect"))
        #expect(error?.message.contains("ScriptedError") == true)
        #expect(test.status.lastConnectError as? ScriptedError == ScriptedError(what: "connect"))
        #expect(test.observer.events == [.connectFailed("\(ScriptedError(what: "connect"))")])
        try await test.pool.withConnection { _ in }
        #expect(test.status.lastConnectError == nil)
        try await test.expectAtRest()
    }

    @Test(arguments: [1, 3, 30])
    func aFailedConnectStrandsNobodyElse(waiters: Int) async throws {
        let test = try TestPool(3)
        test.strategy.script(.error, .error, .error)
        var tasks: [Task<Void, any Error>] = []
        for _ in 0..<waiters {
            tasks.append(Task { try await test.pool.withConnection { _ in await Task.yield() } })
        }
        var failed = 0
        for task in tasks {
            if case .failure(let error) = await task.result {
                #expect((error as? PoolError)?.code == .connectFailed)
                failed += 1
            }
        }
        #expect(failed <= 3)
        if waiters > 3 { #expect(test.strategy.counts.opened > 0) }
        try await test.expectAtRest()
    }

    @Test func aWaiterIsServedAfterTheLastConnectionDied() async throws {
        let test = try TestPool()
        let holder = test.holder()
        let connection = try await holder.held()
        let waiter = try await test.waiter()
        test.strategy.kill(connection)
        try await holder.end()
        #expect(try await waiter.held().number == 2)
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test func aSlowConnectFillsThePoolThoughEveryRequestGivesUpBefore() async throws {
        let test = try TestPool()
        test.strategy.always(.slow)
        for _ in 0..<3 {
            let waiter = try await test.waiter(deadline: test.time.now + .seconds(1))
            test.time.advance(by: .seconds(1))
            #expect(try await waiter.failure()?.code == .timedOut)
        }
        try await eventually { test.strategy.counts.opening == 1 }
        test.strategy.open()
        try await test.expectAtRest()
        #expect(test.status.available == 1)
        #expect(test.strategy.counts.creates == 1)
    }

    @Test func aConnectionThatComesBackServesTheWaiterThatAskedForAConnect() async throws {
        let test = try TestPool(2)
        let holder = test.holder()
        _ = try await holder.held()
        test.strategy.always(.slow)
        let waiter = try await test.waiter()
        try await eventually { test.strategy.counts.opening == 1 }
        try await holder.end()
        #expect(try await waiter.held().number == 1)
        // The late one is parked.
        test.strategy.open()
        try await eventually { test.status.available == 1 }
        try await waiter.end()
        try await test.expectAtRest()
        #expect(test.status.available == 2)
    }

    @Test func aConnectThatHangsEndsAtItsTimeoutWithATypedError() async throws {
        let test = try TestPool { $0.acquireTimeout = .seconds(60) }
        test.strategy.script(.never)
        let waiter = try await test.waiter()
        try await eventually { test.strategy.counts.creates == 1 }
        test.time.advance(by: .seconds(10))
        let error = try #require(try await waiter.failure())
        #expect(error.code == .connectFailed)
        #expect(error.underlying as? ConnectTimedOut == ConnectTimedOut(after: .seconds(10)))
        #expect(error.message.contains("10.0 s"), "\(error.message)")
        // Told once: the end of the cancelled connect says nothing new.
        try await test.expectAtRest()
        #expect(test.observer.events == [.connectFailed("\(ConnectTimedOut(after: .seconds(10)))")])
        #expect(test.status.lastConnectError as? ConnectTimedOut != nil)
        try await test.pool.withConnection { _ in }
    }

    @Test func aConnectThatHangsForEverCostsOneSlotAndNobodyElse() async throws {
        let test = try TestPool(2) { $0.acquireTimeout = .seconds(60) }
        // Deaf to cancellation.
        test.strategy.script(.slow)
        let first = try await test.waiter()
        try await eventually { test.strategy.counts.opening == 1 }
        // A connect is begun for the next one, and serves whoever came first.
        let second = test.holder()
        #expect(try await first.held().number == 2)
        try await first.end()
        #expect(try await second.held().number == 2)
        #expect(test.status.connecting == 1)
        test.time.advance(by: .seconds(10))
        try await eventually { test.status.lastConnectError != nil }
        #expect(test.status.connecting == 1)
        // Written off a second later: its slot is free for another.
        test.time.advance(by: .seconds(1))
        try await eventually { test.status.connecting == 0 }
        let third = test.holder()
        #expect(try await third.held().number == 3)
        // If it ends after all, what it opened is closed.
        test.strategy.open()
        try await eventually { test.observer.events.contains(.closed(.late)) }
        #expect(test.strategy.closedNumbers == [1])
        try await third.end()
        try await second.end()
        try await test.expectAtRest()
    }

    @Test func aConnectThatEndsWellAfterItsTimeoutIsClosed() async throws {
        let test = try TestPool { $0.acquireTimeout = .seconds(60) }
        test.strategy.script(.slow)
        let waiter = try await test.waiter()
        try await eventually { test.strategy.counts.opening == 1 }
        test.time.advance(by: .seconds(10))
        #expect(try await waiter.failure()?.code == .connectFailed)
        test.strategy.open()
        try await eventually { test.observer.events.contains(.closed(.late)) }
        #expect(!test.observer.events.contains(.connected))
        try await test.expectAtRest()
        #expect(test.status.size == 0)
    }

    @Test func whatWasBeingOpenedWhenTheMemberWasExpiredIsNotHandedOut() async throws {
        let test = try TestPool(2)
        test.strategy.script(.slow)
        let waiter = try await test.waiter()
        try await eventually { test.strategy.counts.opening == 1 }
        test.pool.expire()
        // Another one is opened for the waiter at once.
        #expect(try await waiter.held().number == 2)
        test.strategy.open()
        try await eventually { test.strategy.closedNumbers == [1] }
        #expect(test.observer.events.contains(.closed(.expired)))
        try await waiter.end()
        try await test.expectAtRest()
        #expect(test.status.available == 1)
    }

    @Test func aSpikeOfShortWorkDoesNotOpenTheWholePool() async throws {
        let test = try TestPool(50)
        try await test.warmUp(5)
        test.strategy.always(.slow)
        let executor = ManualExecutor()
        let tasks = (0..<50).map { _ in
            executor.task { try await test.pool.withConnection { _ in await Task.yield() } }
        }
        // All of the work is done while the first connects are still under way.
        executor.run()
        for task in tasks { try await task.value }
        #expect(test.strategy.counts.creates <= 7)
        test.strategy.always(.ok)
        while test.status.connecting > 0 {
            if test.strategy.counts.opening > 0 { test.strategy.open() }
            await Task.yield()
        }
        try await test.expectAtRest()
        #expect(test.strategy.counts.creates <= 7)
    }

    @Test func aClosingConnectionCountsUntilItIsClosed() async throws {
        let test = try TestPool()
        let holder = test.holder()
        let connection = try await holder.held()
        let waiter = try await test.waiter()
        test.strategy.kill(connection)
        test.strategy.onClose {
            #expect(test.status.closing == 1)
            #expect(test.strategy.counts.creates == 1)
        }
        try await holder.end()
        _ = try await waiter.held()
        #expect(test.strategy.counts.mostLive == 1)
        test.strategy.onClose(nil)
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test func requestsWaitThroughFailuresAndTheTimeoutTellsTheLastOfEachMember() async throws {
        let test = try TestGroup(members: 2)
        for strategy in test.strategies { strategy.always(.error) }
        let waiter = try await test.waiter()
        try await eventually { test.group.snapshot().members.allSatisfy { $0.retryAt != nil } }
        test.time.advance(by: .seconds(5))
        let error = try #require(try await waiter.failure())
        #expect(error.code == .timedOut)
        #expect(error.snapshot?.members.allSatisfy { $0.lastConnectError is ScriptedError } == true)
        #expect(error.message.contains("db0") && error.message.contains("db1"), "\(error.message)")
        #expect(error.message.contains("ScriptedError"), "\(error.message)")
    }

    @Test func aRequestIsServedAfterTheBackOffWhenTheServerIsBack() async throws {
        let test = try TestGroup(members: 1)
        test.strategies[0].script(.error, .error)
        let waiter = try await test.waiter()
        for failures in 1...2 {
            try await eventually {
                test.strategies[0].counts.failed == failures && test.group.snapshot().members[0].retryAt != nil
            }
            // One connect at a time, and none before the back-off has passed.
            #expect(test.strategies[0].counts.creates == failures)
            test.time.advance(by: .milliseconds(200))
        }
        _ = try await waiter.held()
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test func aServerThatOpensOnlyDeadConnectionsIsNotHammered() async throws {
        let test = try TestGroup(members: 1)
        for number in 1...3 { test.strategies[0].kill(number) }
        let waiter = try await test.waiter()
        for creates in 1...3 {
            try await eventually {
                test.strategies[0].counts.closed == creates && test.group.snapshot().members[0].retryAt != nil
            }
            #expect(test.strategies[0].counts.creates == creates)
            test.time.advance(by: .seconds(1))
        }
        #expect(try await waiter.held().number == 4)
        try await waiter.end()
        try await test.expectAtRest()
    }
}

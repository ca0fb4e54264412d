// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// What a user wants done with each connection, and what becomes of it if that fails.
@Suite(.timeLimit(.minutes(20)))
struct HooksTests {
    typealias Hooks = PoolHooks<FakeConnection>

    @Test func theHooksRunInTheOrderOfAConnectionsLife() async throws {
        let lived = Served()
        let hooks = Hooks(
            created: { _ in lived.note(1) },
            beforeHandOut: { _ in
                lived.note(2)
                return .use
            },
            returned: { _ in lived.note(4) },
            closing: { _, _ in lived.note(5) }
        )
        let test = try TestPool(hooks: hooks)
        try await test.pool.withConnection { _ in lived.note(3) }
        try await eventually { lived.order.count == 4 }
        try await test.pool.withConnection { _ in lived.note(3) }
        try await eventually { lived.order.count == 7 }
        try await test.expectAtRest()
        await test.pool.close()
        #expect(lived.order == [1, 2, 3, 4, 2, 3, 4, 5])
    }

    // MARK: created

    @Test func aCreatedHookThatThrowsIsAFailedConnectAndTheConnectionIsClosed() async throws {
        let work = GatedWork("created")
        work.script(.error)
        let test = try TestPool(hooks: Hooks(created: { _ in try await work.run() }))
        let error = await #expect(throws: PoolError.self) { try await test.pool.withConnection { _ in } }
        #expect(error?.code == .connectFailed)
        #expect(error?.underlying as? ScriptedError == ScriptedError(what: "created"))
        #expect(test.strategy.counts.live == 0)
        try await test.pool.withConnection { _ in }
        try await test.expectAtRest()
    }

    @Test func aCreatedHookThatHangsIsPartOfTheConnectTimeout() async throws {
        let work = GatedWork("created")
        work.script(.never)
        let test = try TestPool(hooks: Hooks(created: { _ in try await work.run() })) {
            $0.acquireTimeout = .seconds(1000)
        }
        let request = test.holder()
        try await eventually { work.running == 1 }
        test.time.advance(by: .seconds(10))
        #expect(try await request.failure()?.code == .connectFailed)
        try await eventually { test.strategy.counts.live == 0 }
        try await test.expectAtRest()
    }

    @Test func aCreatedHookMayUseThePool() async throws {
        let pool = Guarded<TestPool?>(nil)
        let hooks = Hooks(created: { connection in
            guard connection.number == 1, let test = pool.withLock({ $0 }) else { return }
            #expect(test.pool.status().connecting >= 1)
            try await test.pool.withConnection { other in #expect(other.number == 2) }
        })
        let test = try TestPool(2, hooks: hooks)
        pool.withLock { $0 = test }
        let first = test.holder()
        _ = try await first.held()
        try await first.end()
        try await test.expectAtRest()
        pool.withLock { $0 = nil }
    }

    // MARK: beforeHandOut

    @Test func aConnectionThatIsToBeReplacedIsClosedAndTheRequestGetsAnother() async throws {
        let test = try TestPool(
            2,
            hooks: Hooks(beforeHandOut: { $0.number < 3 ? .replace : .use })
        )
        let request = test.holder(deadline: test.time.now + .seconds(1000))
        try await test.advanceUntil(.seconds(1)) { request.isHolding }
        #expect(try await request.held().number == 3)
        #expect(test.strategy.closedNumbers == [1, 2])
        #expect(test.observer.closes == [.unfit, .unfit])
        try await request.end()
        try await test.expectAtRest()
    }

    @Test func aHandOutHookThatThrowsFailsTheRequestAndClosesTheConnection() async throws {
        let work = GatedWork("hook")
        work.script(.error)
        let hooks = Hooks(beforeHandOut: { _ in
            try await work.run()
            return .use
        })
        let test = try TestPool(hooks: hooks)
        let error = await #expect(throws: PoolError.self) { try await test.pool.withConnection { _ in } }
        #expect(error?.code == .hookFailed)
        #expect(error?.underlying as? ScriptedError == ScriptedError(what: "hook"))
        try await eventually { test.strategy.counts.live == 0 }
        #expect(test.observer.closes == [.unfit])
        let next = test.holder(deadline: test.time.now + .seconds(1000))
        try await test.advanceUntil(.seconds(1)) { next.isHolding }
        try await next.end()
        try await test.expectAtRest()
    }

    @Test func aHandOutHookThatHangsCountsAsReplace() async throws {
        let work = GatedWork("hook")
        let hooks = Hooks(beforeHandOut: { _ in
            try await work.run()
            return .use
        })
        let test = try TestPool(hooks: hooks) { $0.acquireTimeout = .seconds(1000) }
        try await test.warmUp(1)
        work.script(.never)
        let request = test.holder()
        try await eventually { work.running == 1 }
        try await test.advanceUntil(.seconds(5)) { request.isHolding }
        #expect(try await request.held().number == 2)
        #expect(work.cancelled == 1)
        #expect(test.strategy.closedNumbers == [1])
        try await request.end()
        try await test.expectAtRest()
    }

    @Test func aHandOutHookMayUseThePool() async throws {
        let pool = Guarded<TestPool?>(nil)
        let hooks = Hooks(beforeHandOut: { connection in
            guard connection.number == 1, let test = pool.withLock({ $0 }) else { return .use }
            #expect(try test.pool.tryAcquire() == nil, "there is something to do before")
            try await test.pool.withConnection { other in #expect(other.number == 2) }
            return .use
        })
        let test = try TestPool(2, hooks: hooks)
        pool.withLock { $0 = test }
        #expect(try await test.pool.withConnection { $0.number } == 1)
        try await test.expectAtRest()
        pool.withLock { $0 = nil }
    }

    @Test func aHandOutHookThatWaitsForItsOwnPoolEndsWhenItsTimeIsOver() async throws {
        let pool = Guarded<TestPool?>(nil)
        let first = Served()
        let hooks = Hooks(beforeHandOut: { _ in
            guard first.order.isEmpty, let test = pool.withLock({ $0 }) else { return .use }
            first.note(1)
            try await test.pool.withConnection { _ in }
            return .use
        })
        let test = try TestPool(1, hooks: hooks) { $0.acquireTimeout = .seconds(1000) }
        pool.withLock { $0 = test }
        let request = test.holder()
        try await eventually { test.status.waiting == 1 }
        try await test.advanceUntil(.seconds(5)) { request.isHolding }
        try await request.end()
        try await test.expectAtRest()
        pool.withLock { $0 = nil }
    }

    @Test func tryAcquireGetsNothingFromAPoolWithAHandOutHook() async throws {
        let handedOut = Served()
        let hooks = Hooks(beforeHandOut: { connection in
            handedOut.note(connection.number)
            return .use
        })
        let test = try TestPool(hooks: hooks)
        try await test.warmUp(1)
        #expect(try !test.takesAtOnce())
        #expect(handedOut.order == [1])
        try await test.expectAtRest()
        #expect(test.status.available == 1)
    }

    // MARK: returned

    @Test func theNextRequestGetsAConnectionOnlyAfterItsReturnedHook() async throws {
        let work = GatedWork("returned")
        let test = try TestPool(hooks: Hooks(returned: { _ in try await work.run() }))
        work.script(.slow)
        let holder = test.holder()
        _ = try await holder.held()
        let waiter = try await test.waiter()
        try await holder.end()
        try await eventually { work.waiting == 1 }
        #expect(!waiter.isHolding)
        work.open()
        #expect(try await waiter.held().number == 1)
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test(arguments: [Gate.error, .never])
    func aReturnedHookThatFailsClosesTheConnection(gate: Gate) async throws {
        let work = GatedWork("returned")
        let test = try TestPool(hooks: Hooks(returned: { _ in try await work.run() }))
        work.script(gate)
        try await test.pool.withConnection { _ in }
        try await eventually { work.begun == 1 }
        try await test.advanceUntil(.seconds(5)) { test.strategy.closedNumbers == [1] }
        #expect(test.observer.closes == [.unfit])
        try await test.pool.withConnection { _ in }
        try await test.expectAtRest()
    }

    @Test func aReturnedHookMayUseThePool() async throws {
        let pool = Guarded<TestPool?>(nil)
        let hooks = Hooks(returned: { connection in
            guard connection.number == 1, let test = pool.withLock({ $0 }) else { return }
            try await test.pool.withConnection { other in #expect(other.number == 2) }
            pool.withLock { $0 = nil }
        })
        let test = try TestPool(2, hooks: hooks)
        pool.withLock { $0 = test }
        try await test.pool.withConnection { _ in }
        try await eventually { pool.withLock { $0 == nil } }
        try await test.expectAtRest()
    }

    // MARK: closing

    @Test func theClosingHookHearsTheReasonAndMayUseThePool() async throws {
        let pool = Guarded<TestPool?>(nil)
        let reasons = Guarded<[CloseReason]>([])
        let hooks = Hooks(closing: { _, reason in
            reasons.withLock { $0.append(reason) }
            #expect(pool.withLock { $0 }?.pool.status().closing == 1)
        })
        let test = try TestPool(hooks: hooks)
        pool.withLock { $0 = test }
        try await test.pool.withConnection { test.strategy.kill($0) }
        try await test.pool.withConnection { _ in }
        await test.pool.close()
        #expect(reasons.withLock { $0 } == [.reportedClosed, .poolClosed])
        pool.withLock { $0 = nil }
    }

    @Test func theClosingHookIsNotCalledForWhatIsDroppedOrDetached() async throws {
        let closed = Served()
        let test = try TestPool(hooks: Hooks(closing: { connection, _ in closed.note(connection.number) }))
        try await test.pool.withConnection { test.strategy.invalidate($0.number) }
        let lease = try await test.pool.acquire()
        let detached = lease.detach()
        try test.strategy.close(detached)
        try await test.expectAtRest()
        #expect(closed.order == [])
    }
}

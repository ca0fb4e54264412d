// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct SharedPoolTests {
    private typealias Shared = SharedPool<ConnectionPool<ScriptedStrategy>>

    @Test func withoutAPoolTheErrorNamesInitialize() async throws {
        let shared = Shared(name: "TestPool")
        let error = #expect(throws: PoolError.self) { try shared.instance() }
        #expect(error?.code == .notInitialized)
        #expect(error?.message.contains("TestPool.initialize(...)") == true)
        let other = await #expect(throws: PoolError.self) { try await shared.withConnection { _ in } }
        #expect(other?.code == .notInitialized)
        #expect(await shared.close() == 0)
    }

    @Test func thePoolThatWasInitializedIsTheInstance() async throws {
        let test = try TestPool()
        let shared = Shared(name: "TestPool")
        #expect(shared.initialize(test.pool) === test.pool)
        #expect(try shared.instance() === test.pool)
        #expect(try await shared.withConnection { $0.number } == 1)
        #expect(test.status.available == 1)
        await shared.close()
    }

    @Test func aSecondInitializeDrainsTheOldPoolWhoseLeasesFinish() async throws {
        let old = try TestPool(2)
        let new = try TestPool()
        let shared = Shared(name: "TestPool")
        shared.initialize(old.pool)
        try await old.warmUp(2)
        let lease = try await shared.instance().acquire()
        shared.initialize(new.pool)
        #expect(try shared.instance() === new.pool)
        try await eventually("the idle one is closed") { old.strategy.counts.closed == 1 }
        #expect(lease.permit.isValid)
        #expect(old.strategy.interrupted == [])
        try lease.release()
        try await eventually("the old pool is closed") { old.strategy.counts.live == 0 }
        #expect(old.pool.isClosed)
        #expect(try await shared.withConnection { $0.slot.member } == new.status.member)
        await shared.close()
    }

    @Test func theDrainOfAnOldPoolIsBounded() async throws {
        let old = try TestPool()
        let shared = Shared(name: "TestPool", drainTimeout: .zero)
        shared.initialize(old.pool)
        let lease = try await shared.instance().acquire()
        shared.initialize(try TestPool().pool)
        old.time.advance(by: .seconds(60))
        try await eventually("its lease is interrupted") { old.strategy.interrupted == [.terminated] }
        #expect(!lease.permit.isValid)
        try lease.release()
        try await eventually("the old pool is closed") { old.strategy.counts.live == 0 }
        await shared.close()
    }

    @Test func sharingTheSamePoolAgainClosesNothing() async throws {
        let test = try TestPool()
        let shared = Shared(name: "TestPool")
        shared.initialize(test.pool)
        shared.initialize(try shared.instance())
        #expect(try await shared.withConnection { $0.number } == 1)
        #expect(!test.pool.isClosed)
        await shared.close()
    }

    @Test func whoWaitsAtAReplacedPoolIsServedByTheNewOne() async throws {
        let old = try TestPool()
        let new = try TestPool()
        let shared = Shared(name: "TestPool")
        shared.initialize(old.pool)
        let lease = try await old.pool.acquire()
        let waiting = Task { try await shared.withConnection { $0.slot.member } }
        try await eventually("it waits") { old.status.waiting == 1 }
        shared.initialize(new.pool)
        #expect(try await waiting.value == new.status.member)
        try lease.release()
        await shared.close()
    }

    @Test func anErrorOfTheBodyIsNeverTakenForAReplacedPool() async throws {
        let shared = Shared(name: "TestPool")
        shared.initialize(try TestPool().pool)
        let calls = Served()
        let error = await #expect(throws: PoolError.self) {
            try await shared.withConnection { _ in
                calls.note(1)
                shared.initialize(try TestPool().pool)
                throw PoolError(code: .closed, message: "the body's own")
            }
        }
        #expect(error?.message == "the body's own")
        #expect(calls.order == [1])
        await shared.close()
    }

    @Test func closingClosesTheSharedPoolAndThoseItReplaced() async throws {
        let old = try TestPool()
        let new = try TestPool()
        let shared = Shared(name: "TestPool")
        shared.initialize(old.pool)
        let lease = try await old.pool.acquire()
        shared.initialize(new.pool)
        try await new.warmUp(1)
        // Long ago by the clock of both, which stands still.
        #expect(await shared.close(deadline: old.time.now - .seconds(60)) == 1)
        #expect(old.strategy.interrupted == [.terminated])
        #expect(new.strategy.counts.live == 0)
        let error = #expect(throws: PoolError.self) { try shared.instance() }
        #expect(error?.code == .notInitialized)
        #expect(error?.message.contains("closed") == true)
        #expect(error?.message.contains("initialize") == true)
        try lease.release()
        #expect(old.strategy.counts.live == 0)
        // And it can be had again.
        shared.initialize(try TestPool().pool)
        #expect(try await shared.withConnection { $0.number } == 1)
        await shared.close()
    }

    @Test func anInstanceThatWasClosedByItselfIsNotHandedOut() async throws {
        let shared = Shared(name: "TestPool")
        shared.initialize(try TestPool().pool)
        try await shared.instance().close()
        let error = #expect(throws: PoolError.self) { try shared.instance() }
        #expect(error?.code == .notInitialized)
    }

    @Test func aSecondCloseWaitsForTheSameEnd() async throws {
        let test = try TestPool()
        let shared = Shared(name: "TestPool")
        shared.initialize(test.pool)
        let lease = try await shared.instance().acquire()
        let first = Task { await shared.close() }
        try await eventually("it is closing") { test.pool.isClosed }
        let second = Task { await shared.close() }
        try lease.release()
        _ = await (first.value, second.value)
        #expect(test.strategy.counts.live == 0)
    }

    @Test func oneFailingCloseDoesNotStopTheOthers() async throws {
        let old = try TestPool(3)
        let new = try TestPool(3)
        let shared = Shared(name: "TestPool")
        for test in [old, new] {
            shared.initialize(test.pool)
            test.strategy.failCloses(ScriptedError(what: "close"))
            try await test.warmUp(3)
        }
        await shared.close()
        #expect(old.strategy.counts.closed == 3)
        #expect(new.strategy.counts.closed == 3)
        #expect(new.observer.events.count { $0 == .returnError("\(ScriptedError(what: "close"))") } == 3)
    }

    @Test func cancellingTheServiceClosesTheSharedPoolWhoseLeasesFinish() async throws {
        let test = try TestPool(2)
        let shared = Shared(name: "TestPool")
        let service = Task { await shared.run() }
        shared.initialize(test.pool)
        try await test.warmUp(2)
        let lease = try await shared.instance().acquire()
        service.cancel()
        try await eventually("the idle one is closed") { test.strategy.counts.closed == 1 }
        #expect(test.strategy.interrupted == [])
        try lease.release()
        await service.value
        #expect(test.strategy.counts.live == 0)
        #expect(throws: PoolError.self) { try shared.instance() }
    }

    @Test(arguments: 0..<8)
    func initializingUsingAndClosingAtTheSameTimeLosesNoConnection(round: Int) async throws {
        let shared = Shared(name: "TestPool")
        let tests = try (0..<20).map { _ in try TestPool(2) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for test in tests {
                group.addTask {
                    await Task.yield()
                    shared.initialize(test.pool)
                }
            }
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<100 {
                        do {
                            try await shared.withConnection { _ in await Task.yield() }
                            _ = try? shared.instance().status()
                        } catch let error as PoolError {
                            try #require(error.code == .notInitialized || error.code == .closed)
                        }
                    }
                }
            }
            for _ in 0..<5 {
                group.addTask {
                    await Task.yield()
                    await shared.close()
                }
            }
            try await group.waitForAll()
        }
        await shared.close()
        #expect(throws: PoolError.self) { try shared.instance() }
        for test in tests {
            try await eventually("its connections are closed") { test.strategy.counts.live == 0 }
            #expect(test.core.violations == [])
        }
    }

    // MARK: - Scopes

    @Test func aPoolOfAScopeIsClosedAtItsEnd() async throws {
        let test = try TestPool(2)
        let number = try await withPool(test.pool) { pool in
            try await test.warmUp(2)
            return try await pool.withConnection { $0.number }
        }
        #expect(number == 1)
        #expect(test.strategy.counts.live == 0)
        #expect(test.pool.isClosed)
    }

    @Test func aPoolOfAScopeThatThrowsIsClosedToo() async throws {
        let test = try TestPool(2)
        test.strategy.failCloses(ScriptedError(what: "close"))
        let error = await #expect(throws: ScriptedError.self) {
            try await withPool(test.pool) { _ in
                try await test.warmUp(2)
                throw ScriptedError(what: "body")
            }
        }
        #expect(error == ScriptedError(what: "body"))
        #expect(test.strategy.counts.closed == 2)
        #expect(test.pool.isClosed)
    }
}

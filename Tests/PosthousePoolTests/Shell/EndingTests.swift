// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// Close, terminate, drop.
@Suite(.timeLimit(.minutes(20)))
struct EndingTests {
    @Test func closeRefusesRequestsAndWaitsForLeasedConnections() async throws {
        let test = try TestPool(2)
        try await test.warmUp(2)
        let holder = test.holder()
        _ = try await holder.held()
        let closing = Task { await test.pool.close() }
        try await eventually { test.core.isClosing }
        // The idle one is closed now, the leased one works on.
        #expect(test.strategy.counts.closed == 1)
        #expect(holder.permit?.isValid == true)
        let error = await #expect(throws: PoolError.self) { try await test.pool.withConnection { _ in } }
        #expect(error?.code == .closed)
        #expect(error?.message.contains("\"test\"") == true)
        #expect(throws: PoolError.self) { try test.takesAtOnce() }
        try await holder.end()
        #expect(await closing.value == 0)
        #expect(test.strategy.counts.live == 0)
        #expect(test.strategy.interrupted == [])
    }

    @Test func closeFailsWaitingRequestsInTheOrderTheyCame() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let executor = ManualExecutor()
        let failed = Served()
        let tasks = (0..<5).map { index in
            executor.task {
                do {
                    try await test.pool.withConnection { _ in }
                } catch let error as PoolError where error.code == .closed {
                    failed.note(index)
                }
            }
        }
        executor.run()
        let closing = Task { await test.pool.close() }
        try await eventually { executor.ready == 5 }
        executor.run()
        for task in tasks { try await task.value }
        #expect(failed.order == [0, 1, 2, 3, 4])
        try await holder.end()
        #expect(await closing.value == 0)
    }

    @Test func atItsDeadlineCloseInterruptsWhatIsStillLeasedAndReturns() async throws {
        let test = try TestPool(2)
        let holders = [test.holder(), test.holder()]
        for holder in holders { _ = try await holder.held() }
        let deadline = test.time.now + .seconds(30)
        let closing = Task { await test.pool.close(deadline: deadline) }
        try await eventually { test.core.isClosing }
        try await holders[0].end()
        #expect(test.strategy.interrupted == [])
        test.time.advance(by: .seconds(30))
        #expect(await closing.value == 1)
        #expect(test.strategy.interrupted == [.terminated])
        let denied = #expect(throws: PermitDenied.self) { try holders[1].permit?.check() }
        #expect(denied?.code == .terminated)
        try await holders[1].end()
        #expect(test.strategy.counts.live == 0)
        try await eventually { test.time.sleepers == 0 }
    }

    @Test func aCloseWhoseTaskIsCancelledHasReachedItsDeadline() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let closing = Task { await test.pool.close() }
        try await eventually { test.core.isClosing }
        closing.cancel()
        #expect(await closing.value == 1)
        #expect(test.strategy.interrupted == [.terminated])
        try await holder.end()
        #expect(test.strategy.counts.live == 0)
    }

    @Test func aCloseThatIsCancelledBeforeItBeginsEndsAtOnce() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let executor = ManualExecutor()
        let closing = executor.task { await test.pool.close() }
        closing.cancel()
        executor.run()
        #expect(try await closing.value == 1)
        try await holder.end()
    }

    @Test func aSecondCloseWaitsForTheSameEndAndTheEarliestDeadlineCounts() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let now = test.time.now
        let first = Task { await test.pool.close() }
        try await eventually { test.core.isClosing }
        let second = Task { await test.pool.close(deadline: now + .seconds(1)) }
        let third = Task { await test.pool.close(deadline: now + .seconds(9)) }
        try await eventually { test.core.closers == 3 }
        test.time.advance(by: .seconds(1))
        #expect(await first.value == 1)
        #expect(await second.value == 1)
        #expect(await third.value == 1)
        // The end has come: another one does not wait.
        #expect(await test.pool.close() == 1)
        try await holder.end()
        #expect(await test.pool.close() == 0)
    }

    @Test func aCloseWithALaterDeadlineThanAnythingBeforeEndsInTime() async throws {
        let test = try TestPool { $0.acquireTimeout = .seconds(5) }
        let holder = test.holder()
        _ = try await holder.held()
        let first = Task { await test.pool.close() }
        try await eventually { test.core.isClosing }
        let deadline = test.time.now + .seconds(60)
        let second = Task { await test.pool.close(deadline: deadline) }
        try await eventually { test.core.closers == 2 && test.time.sleepers == 1 }
        test.time.advance(by: .seconds(60))
        #expect(await second.value == 1)
        #expect(await first.value == 1)
        try await holder.end()
    }

    /// On the real clock, which cannot count that far.
    @Test(arguments: [Duration.seconds(Int64.max), .milliseconds(Int64.max), .microseconds(Int64.max)])
    func forEverIsATimeoutLikeAnyOther(timeout: Duration) async throws {
        let pool = try ConnectionPool(
            strategy: ScriptedStrategy(),
            configuration: PoolConfiguration(maximumSize: 1, connectTimeout: timeout, acquireTimeout: timeout)
        )
        let lease = try await pool.acquire()
        let waiter = Holder { try await pool.acquire(deadline: .now + timeout) }
        try await eventually { pool.status().waiting == 1 }
        try lease.release()
        _ = try await waiter.held()
        try await waiter.end()
        #expect(await pool.close(deadline: .now + timeout) == 0)
    }

    @Test func terminateEndsACloseThatWaits() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let closing = Task { await test.pool.close() }
        try await eventually { test.core.isClosing }
        test.pool.terminate()
        #expect(await closing.value == 1)
        test.pool.terminate()
        #expect(test.strategy.interrupted == [.terminated])
        try await holder.end()
        #expect(test.strategy.counts.live == 0)
    }

    @Test func terminateClosesIdleInterruptsLeasedAndFailsWaiters() async throws {
        let test = try TestPool(2)
        try await test.warmUp(2)
        let holders = [test.holder(), test.holder()]
        for holder in holders { _ = try await holder.held() }
        try await holders[0].end()
        let other = test.holder()
        _ = try await other.held()
        let waiter = try await test.waiter()
        test.pool.terminate()
        #expect(try await waiter.failure()?.code == .closed)
        #expect(waiter.poolError?.message.contains("closed") == true)
        #expect(test.strategy.interrupted == [.terminated, .terminated])
        for holder in [holders[1], other] {
            let denied = #expect(throws: PermitDenied.self) { try holder.permit?.check() }
            #expect(denied?.code == .terminated)
            try await holder.end()
        }
        #expect(test.strategy.counts.live == 0)
        try await eventually { test.time.sleepers == 0 }
        #expect(!test.core.hasAlarm)
    }

    @Test func aConnectionGrantedBeforeTheEndButNotYetTakenFailsAsClosed() async throws {
        let test = try TestPool()
        let holder = test.holder()
        _ = try await holder.held()
        let executor = ManualExecutor()
        let waiter = executor.task { try await test.pool.withConnection { _ in } }
        executor.run()
        try await holder.end()
        test.pool.terminate()
        executor.run()
        let error = await #expect(throws: PoolError.self) { try await waiter.value }
        #expect(error?.code == .closed)
        #expect(test.strategy.counts.live == 0)
    }

    @Test(arguments: [Gate.slow, .never])
    func closeWaitsForAConnectThatIsUnderWayAndLeavesNoConnection(connect: Gate) async throws {
        let test = try TestPool()
        test.strategy.always(connect)
        let waiter = try await test.waiter()
        try await eventually { test.strategy.counts.creates == 1 }
        let closing = Task { await test.pool.close() }
        #expect(try await waiter.failure()?.code == .closed)
        if connect == .slow {
            try await eventually { test.strategy.counts.opening == 1 }
            test.strategy.open()
        }
        #expect(await closing.value == 0)
        #expect(test.strategy.counts.live == 0)
        try await eventually { test.time.sleepers == 0 }
        #expect(!test.core.hasAlarm)
        // Nothing that the pool did to end it is a connect's failure.
        #expect(!test.observer.events.contains { if case .connectFailed = $0 { true } else { false } })
    }

    @Test func closeDoesNotWaitLongForAConnectThatNeverEnds() async throws {
        let test = try TestPool()
        test.strategy.always(.slow)
        let waiter = try await test.waiter()
        try await eventually { test.strategy.counts.opening == 1 }
        let closing = Task { await test.pool.close() }
        #expect(try await waiter.failure()?.code == .closed)
        test.time.advance(by: .seconds(1))
        #expect(await closing.value == 0)
        test.strategy.open()
        try await eventually { test.strategy.counts.live == 0 }
        #expect(test.observer.events.contains(.closed(.late)))
    }

    @Test func aDroppedPoolStopsAndTellsItsObserver() async throws {
        let strategy = ScriptedStrategy()
        let observer = RecordingObserver()
        let time = ManualTime()
        weak var core: PoolCore?
        do {
            let pool = try ConnectionPool(strategy: strategy, time: time, observer: observer)
            core = pool.group.core
            try await pool.withConnection { _ in }
            #expect(strategy.counts.live == 1)
        }
        #expect(observer.events.last == .dropped)
        #expect(strategy.counts.live == 0)
        try await eventually("nothing keeps it") { core == nil }
        try await eventually("its alarm is gone") { time.sleepers == 0 }
    }

    @Test func aLeaseOutlivesItsDroppedPoolAndIsClosedWhenItEnds() async throws {
        let strategy = ScriptedStrategy()
        let observer = RecordingObserver()
        weak var core: PoolCore?
        func lease() async throws -> Lease<FakeConnection> {
            let pool = try ConnectionPool(strategy: strategy, time: ManualTime(), observer: observer)
            core = pool.group.core
            return try await pool.acquire()
        }
        do {
            let lease = try await lease()
            #expect(observer.events.contains(.dropped))
            #expect(lease.permit.isValid)
            #expect(strategy.counts.live == 1)
            #expect(strategy.interrupted == [])
            try lease.release()
        }
        #expect(strategy.counts.live == 0)
        try await eventually("nothing keeps it") { core == nil }
    }

    @Test func aPoolThatIsDroppedWhileItConnectsLeavesNothingOpen() async throws {
        let strategy = ScriptedStrategy()
        strategy.always(.slow)
        let time = ManualTime()
        weak var core: PoolCore?
        do {
            let pool = try ConnectionPool(strategy: strategy, time: time)
            core = pool.group.core
            let deadline = time.now - .seconds(1)
            await #expect(throws: PoolError.self) { try await pool.acquire(deadline: deadline).release() }
        }
        try await eventually { strategy.counts.opening == 1 }
        strategy.open()
        try await eventually { strategy.counts.live == 0 }
        try await eventually("nothing keeps it") { core == nil }
        try await eventually("its alarm is gone") { time.sleepers == 0 }
    }

    @Test func aPoolThatWasClosedSaysNothingWhenItIsDropped() async throws {
        let observer = RecordingObserver()
        do {
            let pool = try ConnectionPool(strategy: ScriptedStrategy(), time: ManualTime(), observer: observer)
            try await pool.withConnection { _ in }
            await pool.close()
        }
        #expect(observer.events == [.connected, .waited(.zero), .closed(.poolClosed)])
    }

    @Test func aConnectionIsNotClosedWhileItIsInterrupted() async throws {
        let test = try TestPool()
        let executor = ManualExecutor()
        let end = Promise<Void>()
        try await test.warmUp(1)
        let holder = executor.task { try await test.pool.withConnection { _ in await end.value() } }
        executor.run()
        // The lease ends in the middle of the interrupt.
        test.strategy.onInterrupt {
            end.keep(())
            executor.run()
            #expect(test.status.leased == 0)
            #expect(test.status.closing == 1)
            #expect(test.strategy.counts.closed == 0)
        }
        test.pool.terminate()
        #expect(test.strategy.counts.closed == 1)
        try await holder.value
    }
}

extension PoolCore {
    var isClosing: Bool { snapshot().isClosed }
    var closers: Int { state.withLock { $0.closers.count } }
}

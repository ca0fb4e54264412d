// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Synchronization
import Testing

@testable import PosthousePool

/// Several connections at once, connections that leave the pool with their lease, and minimums.
@Suite(.timeLimit(.minutes(20)))
struct BatchTests {
    /// A task that leases several connections and holds them until it is told to give them back.
    private final class BatchHolder: Sendable {
        private enum Phase { case asking, holding([Int]), failed(any Error), over }

        private let phase = Guarded(Phase.asking)
        private let task = Guarded<Task<Void, any Error>?>(nil)
        private let ending = Promise<Void>()

        init(_ test: TestPool, _ count: Int, deadline: ContinuousClock.Instant? = nil) {
            let task = Task {
                do {
                    let batch = try await test.pool.acquire(count: count, deadline: deadline)
                    let numbers = batch.connections.map(\.number)
                    phase.withLock { $0 = .holding(numbers) }
                    await ending.value()
                    try batch.release()
                    phase.withLock { $0 = .over }
                } catch {
                    phase.withLock { $0 = .failed(error) }
                    throw error
                }
            }
            self.task.withLock { $0 = task }
        }

        var numbers: [Int]? { phase.withLock { if case .holding(let numbers) = $0 { numbers } else { nil } } }
        var error: PoolError? {
            phase.withLock { if case .failed(let error) = $0 { error as? PoolError } else { nil } }
        }

        func cancel() { task.withLock { $0 }?.cancel() }
        func held() async throws -> [Int] {
            try await eventually("the batch is served") { numbers != nil || error != nil }
            if let error { throw error }
            return numbers!
        }
        func failure() async throws -> PoolError? {
            try await eventually("the batch fails") { error != nil }
            return error
        }
        func end() async throws {
            ending.keep(())
            try await task.withLock { $0 }?.value
        }
    }

    @Test func aBatchGetsAllItsConnectionsAndGivesAllBack() async throws {
        let test = try TestPool(5)
        try await test.warmUp(2)
        let batch = try await test.pool.acquire(count: 4)
        #expect(batch.count == 4)
        #expect(Set(batch.connections.map(\.number)).count == 4)
        let permits = batch.permits
        #expect(permits.allSatisfy { $0.isValid })
        #expect(test.status.leased == 4)
        try batch.release()
        #expect(permits.allSatisfy { !$0.isValid })
        try await test.expectAtRest()
        #expect(test.status.available == 4)
    }

    @Test func aBatchThatIsDroppedGivesAllBack() async throws {
        let test = try TestPool(3)
        func drop() async throws { _ = try await test.pool.acquire(count: 3) }
        try await drop()
        try await test.expectAtRest()
        #expect(test.status.available == 3)
    }

    @Test(arguments: [0, -1, 4])
    func aBatchThatCanNeverBeHadIsRefused(count: Int) async throws {
        let test = try TestPool(3)
        let error = await #expect(throws: PoolError.self) { _ = try await test.pool.acquire(count: count) }
        #expect(error?.code == .invalidConfiguration)
        #expect(test.strategy.counts.creates == 0)
    }

    @Test func twoBatchesThatTogetherNeedMoreThanThereIsAreServedOneAfterTheOther() async throws {
        let test = try TestPool(4) { $0.acquireTimeout = .seconds(1000) }
        for _ in 0..<30 {
            let batches = (0..<4).map { _ in BatchHolder(test, 3) }
            var left = batches
            while !left.isEmpty {
                try await eventually { left.contains { $0.numbers != nil } }
                #expect(left.count { $0.numbers != nil } == 1)
                let index = left.firstIndex { $0.numbers != nil }!
                try await left.remove(at: index).end()
            }
        }
        try await test.expectAtRest()
        #expect(test.strategy.counts.mostLive <= 4)
    }

    @Test func aBatchIsServedBeforeWhoCameLaterAndAfterWhoCameEarlier() async throws {
        let test = try TestPool(2) { $0.acquireTimeout = .seconds(1000) }
        let holders = [test.holder(), test.holder()]
        for holder in holders { _ = try await holder.held() }
        let first = try await test.waiter()
        let batch = BatchHolder(test, 2)
        try await eventually { test.status.waiting == 3 }
        let last = try await test.waiter()
        try await holders[0].end()
        _ = try await first.held()
        try await holders[1].end()
        #expect(batch.numbers == nil && !last.isHolding)
        try await first.end()
        _ = try await batch.held()
        #expect(!last.isHolding)
        try await batch.end()
        _ = try await last.held()
        try await last.end()
        try await test.expectAtRest()
    }

    @Test func aBatchThatTimesOutHoldsNothing() async throws {
        let test = try TestPool(3)
        let holder = test.holder()
        _ = try await holder.held()
        let batch = BatchHolder(test, 3, deadline: test.time.now + .seconds(1))
        try await eventually { test.status.leased == 3 }
        test.time.advance(by: .seconds(1))
        #expect(try await batch.failure()?.code == .timedOut)
        #expect(test.status.leased == 1)
        try await holder.end()
        try await test.expectAtRest()
    }

    @Test func aBatchWithADeadlineInThePastTakesWhatIsIdleOrFailsAtOnce() async throws {
        for count in 1...4 {
            let test = try TestPool(4)
            let past = test.time.now - .seconds(1)
            let error = await #expect(throws: PoolError.self) {
                _ = try await test.pool.acquire(count: count, deadline: past)
            }
            #expect(error?.code == .timedOut)
            try await test.expectAtRest()
        }
        let test = try TestPool(4)
        let past = test.time.now - .seconds(1)
        try await test.warmUp(4)
        let batch = try await test.pool.acquire(count: 4, deadline: past)
        #expect(batch.count == 4)
        try batch.release()
        try await test.expectAtRest()
    }

    @Test func aBatchThatIsCancelledHoldsNothingWhereverThatHappens() async throws {
        let test = try TestPool(3) { $0.acquireTimeout = .seconds(1000) }
        for round in 0..<40 {
            let holders = (0..<(round % 4)).map { _ in test.holder() }
            for holder in holders { _ = try await holder.held() }
            let executor = ManualExecutor()
            let batch = executor.task {
                let batch = try await test.pool.acquire(count: 3)
                try batch.release()
            }
            if round % 2 == 0 { executor.run() }
            if round % 3 == 0, let first = holders.first {
                // One of its grants is on the way.
                try await first.end()
            }
            batch.cancel()
            executor.run()
            _ = try? await executor.value(of: batch)
            for holder in holders { try? await holder.end() }
            try await test.expectAtRest()
        }
        #expect(test.strategy.counts.mostLive <= 3)
    }

    @Test func deadConnectionsAmongThemAreReplacedAndTheBatchKeepsItsPlace() async throws {
        let test = try TestPool(3) { $0.acquireTimeout = .seconds(1000) }
        try await test.warmUp(3)
        test.strategy.kill(2)
        test.strategy.kill(3)
        let batch = BatchHolder(test, 3)
        #expect(Set(try await batch.held()) == [1, 4, 5])
        try await batch.end()
        try await test.expectAtRest()

        // And if somebody waits behind it.
        let holder = test.holder()
        _ = try await holder.held()
        let second = BatchHolder(test, 3)
        try await eventually { test.status.leased == 3 }
        let later = try await test.waiter()
        test.strategy.kill(1)
        try await holder.end()
        #expect(try await second.held().count == 3)
        #expect(!later.isHolding)
        try await second.end()
        _ = try await later.held()
        try await later.end()
        try await test.expectAtRest()
    }

    @Test func aBatchFromAnotherGroupsMemberIsRefused() async throws {
        let one = try TestGroup(members: 1)
        let other = try TestGroup(members: 2)
        for member in other.members {
            let error = await #expect(throws: PoolError.self) {
                _ = try await one.group.acquire(count: 1, AcquireRequest(member: member))
            }
            #expect(error?.code == .invalidConfiguration)
        }
        try await one.expectAtRest()
    }

    @Test func aConnectThatFailsFailsTheBatchAndGivesTheRestBack() async throws {
        let test = try TestPool(4)
        try await test.warmUp(2)
        test.strategy.script(.error, .error)
        let error = await #expect(throws: PoolError.self) { _ = try await test.pool.acquire(count: 4) }
        #expect(error?.code == .connectFailed)
        try await test.expectAtRest()
        #expect(test.status.available >= 2)
    }

    @Test func aBatchWhoseValidationIsCancelledLosesNothing() async throws {
        let test = try TestPool(3) {
            $0.validation = .always
            $0.acquireTimeout = .seconds(1000)
        }
        try await test.warmUp(3)
        test.strategy.validation.script(.ok, .slow)
        let batch = BatchHolder(test, 3)
        try await eventually { test.strategy.validation.waiting == 1 }
        batch.cancel()
        #expect(try await batch.failure()?.code == .cancelled)
        #expect(test.status.leased == 1)
        test.strategy.validation.open()
        try await test.expectAtRest()
        #expect(test.status.available == 3)
    }

    @Test func aBatchIsOneRequestAsForAFullQueue() async throws {
        let queue = PoolGroupConfiguration(acquireTimeout: .seconds(1000), maximumWaiters: 1)
        let test = try TestPool(2, queue: queue)
        let holder = test.holder()
        _ = try await holder.held()
        let second = test.holder()
        _ = try await second.held()
        let batch = BatchHolder(test, 2)
        try await eventually { test.status.waiting == 2 }
        let error = await #expect(throws: PoolError.self) { _ = try await test.pool.acquire(count: 2) }
        #expect(error?.code == .exhausted)
        #expect(test.status.waiting == 2)
        try await holder.end()
        try await second.end()
        _ = try await batch.held()
        try await batch.end()
        try await test.expectAtRest()
    }

    @Test func aBatchThatWaitsIsToldOfTheClose() async throws {
        let test = try TestPool(2)
        let holder = test.holder()
        _ = try await holder.held()
        let batch = BatchHolder(test, 2)
        try await eventually { test.status.leased == 2 }
        let closing = Task { await test.pool.close() }
        #expect(try await batch.failure()?.code == .closed)
        try await holder.end()
        #expect(await closing.value == 0)
        #expect(test.strategy.counts.live == 0)
    }

    // MARK: Detaching

    @Test func aDetachedConnectionIsItsTakersAndItsPlaceIsFree() async throws {
        let test = try TestPool()
        let lease = try await test.pool.acquire()
        let permit = lease.permit
        let waiter = try await test.waiter()
        let connection = lease.detach()
        #expect(!permit.isValid)
        #expect(try await waiter.held().number == 2)
        #expect(test.strategy.counts.closed == 0)
        #expect(test.observer.closes == [.detached])
        try test.strategy.close(connection)
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test func aConnectionThatIsDetachedWhileItIsInterruptedLeavesThePlaceInOrder() async throws {
        let test = try TestPool()
        let group = test.pool.group
        let member = test.status.member
        let detach = Promise<Void>()
        let executor = ManualExecutor()
        try await test.warmUp(1)
        let task = executor.task {
            let lease = try await test.pool.acquire()
            await detach.value()
            try test.strategy.close(lease.detach())
        }
        executor.run()
        #expect(test.status.leased == 1)
        // It is detached, and its place taken by another one, in the middle of the interrupt.
        test.strategy.onInterrupt {
            test.strategy.onInterrupt(nil)
            detach.keep(())
            executor.run()
            group.setServices(.all, for: member)
        }
        group.fence(member)
        try await task.value
        #expect(test.core.interrupts == [0])
        // An interrupt holds a close up as ever.
        let end = Promise<Void>()
        let inside = Atomic(false)
        let next = executor.task {
            try await test.pool.withConnection { _ in
                inside.store(true, ordering: .sequentiallyConsistent)
                await end.value()
            }
        }
        try await eventually {
            executor.run()
            return inside.load(ordering: .sequentiallyConsistent)
        }
        test.strategy.onInterrupt {
            end.keep(())
            executor.run()
            #expect(test.status.closing == 1)
        }
        group.fence(member)
        try await next.value
        try await test.expectAtRest()
    }

    // MARK: Minimums

    @Test func theMinimumIsThereBeforeTheFirstRequest() async throws {
        let test = try TestPool(5) { $0.minimumSize = 3 }
        try await eventually { test.status.available == 3 }
        try await test.expectAtRest()
        #expect(test.strategy.counts.creates == 3)
    }

    @Test func theIdleMinimumIsRefilledWhenConnectionsAreTakenWithoutTheLock() async throws {
        let test = try TestPool(6) { $0.minimumIdle = 2 }
        try await eventually { test.status.available == 2 }
        var holders: [Holder] = []
        for taken in 1...6 {
            let holder = test.holder()
            _ = try await holder.held()
            holders.append(holder)
            try await eventually { test.status.available == min(2, 6 - taken) && test.status.connecting == 0 }
        }
        #expect(test.strategy.counts.creates == 6)
        for holder in holders { try await holder.end() }
        try await test.expectAtRest()
    }

    @Test func anExpiredMinimumIsReplaced() async throws {
        let test = try TestPool(3) {
            $0.minimumSize = 3
            $0.maximumLifetime = .seconds(100)
            $0.lifetimeJitter = 0
        }
        try await eventually { test.status.available == 3 }
        test.time.advance(by: .seconds(100))
        try await eventually { test.strategy.counts.closed == 3 && test.status.available == 3 }
        #expect(test.observer.closes == [.lifetimeOver, .lifetimeOver, .lifetimeOver])
        #expect(test.strategy.counts.mostLive == 3, "the new ones wait until the old ones are gone")
        try await test.expectAtRest()
    }

    @Test func aConnectionThatExpiresWhileItIsLeasedIsClosedWhenItComesBack() async throws {
        let test = try TestPool {
            $0.maximumLifetime = .seconds(100)
            $0.lifetimeJitter = 0
        }
        let holder = test.holder()
        let permitted = try await holder.held()
        try await test.elapse(.seconds(100))
        #expect(holder.permit?.isValid == true)
        #expect(test.strategy.counts.closed == 0)
        try await holder.end()
        #expect(test.strategy.closedNumbers == [permitted.number])
        try await test.expectAtRest()
    }

    @Test func aConnectionIsClosedAfterSoManyUsesThoughItLiesOpen() async throws {
        let test = try TestPool { $0.maximumUses = 3 }
        for _ in 0..<9 { try await test.pool.withConnection { _ in } }
        #expect(test.strategy.counts.creates == 3)
        #expect(test.observer.closes == [.usedUp, .usedUp, .usedUp])
        try await test.expectAtRest()
    }

    @Test func whatWasSaidWhenAConnectionWasOpenedHoldsThoughTheConfigurationChanges() async throws {
        let test = try TestPool { $0.maximumUses = 3 }
        try await test.pool.withConnection { _ in }
        try test.pool.reconfigure(PoolConfiguration(maximumSize: 1))
        for _ in 0..<2 { try await test.pool.withConnection { _ in } }
        #expect(test.observer.closes == [.usedUp])
        for _ in 0..<9 { try await test.pool.withConnection { _ in } }
        #expect(test.strategy.counts.creates == 2)
        try await test.expectAtRest()
    }

    @Test func anotherConfigurationHoldsFromNowOn() async throws {
        let test = try TestPool(4)
        try await test.warmUp(4)
        #expect(throws: PoolError.self) { try test.pool.reconfigure(PoolConfiguration(maximumSize: 0)) }
        #expect(test.status.maximumSize == 4)
        var configuration = PoolConfiguration(maximumSize: 3, idleTimeout: .seconds(40))
        configuration.minimumSize = 1
        try test.pool.reconfigure(configuration)
        #expect(test.status.size == 3)
        try await test.elapse(.seconds(60), in: 6)
        try await eventually { test.status.size == 1 }
        configuration.validation = .always
        try test.pool.reconfigure(configuration)
        try await test.pool.withConnection { _ in }
        #expect(test.strategy.validation.begun == 0, "the old connection was told otherwise")
        test.pool.expire()
        try await test.pool.withConnection { _ in }
        #expect(test.strategy.validation.begun == 1)
        try await test.expectAtRest()
    }

    // MARK: Warming up

    @Test func warmingUpOpensTheMinimum() async throws {
        let test = try TestPool(5) { $0.minimumSize = 3 }
        try await test.pool.warmUp()
        #expect(test.status.available == 3)
        try await test.expectAtRest()
    }

    @Test func warmingUpALazyPoolOpensOne() async throws {
        let test = try TestPool(5)
        try await test.pool.warmUp()
        #expect(test.status.available == 1)
    }

    @Test(arguments: [0, 3])
    func warmingUpEndsWithTheFirstConnectThatFails(minimum: Int) async throws {
        let queue = PoolGroupConfiguration(acquireTimeout: .seconds(1000), connectFailurePolicy: .keepWaiting)
        let strategy = ScriptedStrategy()
        strategy.always(.slow)
        let test = try TestPool(5, strategy: strategy, queue: queue) { $0.minimumSize = minimum }
        let warming = Task { try await test.pool.warmUp() }
        try await eventually { test.status.waiting == max(1, minimum) }
        try await eventually { strategy.counts.opening == max(1, minimum) }
        strategy.failGates()
        let error = await #expect(throws: PoolError.self) { try await warming.value }
        #expect(error?.code == .connectFailed)
        await test.pool.close()
        #expect(strategy.counts.live == 0)
    }

    @Test func warmingUpEndsAtItsDeadline() async throws {
        let test = try TestPool(5) { $0.minimumSize = 2 }
        let strategy = test.strategy
        try await eventually { test.status.available == 2 }
        let holder = test.holder()
        _ = try await holder.held()
        strategy.always(.never)
        test.strategy.kill(2)
        let deadline = test.time.now + .seconds(1)
        let warming = Task { try await test.pool.warmUp(deadline: deadline) }
        try await eventually { test.status.waiting >= 1 }
        test.time.advance(by: .seconds(1))
        let error = await #expect(throws: PoolError.self) { try await warming.value }
        #expect(error?.code == .timedOut)
        try await holder.end()
        await test.pool.close()
        #expect(strategy.counts.live == 0)
    }
}

extension PoolCore {
    /// Of each place that there is: how many interrupts of its connection are running.
    var interrupts: [Int] { state.withLock { $0.members.flatMap { $0.places.map(\.interrupts) } } }
}

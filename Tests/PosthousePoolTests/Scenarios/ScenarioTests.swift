// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Synchronization
import Testing

@testable import PosthousePool

/// What went wrong in other pools. Each of these stories has a test; where one of another file tells it already, it is named:
///
/// | story | told by |
/// |---|---|
/// | 1 cancelled at every await | MatrixTests, CancellationTests, ValidationTests.aRequestThatIsCancelledDuringItsValidation… |
/// | 2 storm of cancellations and deadlines | aStormOfCancellationsAndDeadlinesLosesNothing |
/// | 3 connects fail while requests queue | ConnectTests (1, 3 and 30 requests), ConnectingTests.aFailedConnectFailsTheRequestThat… |
/// | 4 the last connection dies | ConnectTests.aWaiterIsServedAfterTheLastConnectionDied |
/// | 5 a connect never returns | ConnectTests.aConnectThatHangsForEver…, ConnectTests.aConnectThatEndsWellAfterItsTimeoutIsClosed |
/// | 6 a connect comes late | ConnectingTests.aReturnDuringASlowConnect…, ConnectingTests.aLateConnectionAbove… |
/// | 7 burst | SizeTests.aBurstGoesUp…, aBurstEndsAtTheSoftLimitThoughClosesFailOrTakeTime |
/// | 8 spike | aSpikeOfShortWorkOpensAtMostTwoMore |
/// | 9 resize | SizeTests.noSequenceOfResizesLosesOrAddsCapacity, ControlTests |
/// | 10 close at every point | EndingTests, RecyclingTests.closeWaitsForRecycling…, ValidationTests.aPoolThatIsTerminated…, BatchTests |
/// | 11 graceful close with a deadline | EndingTests.atItsDeadlineCloseInterrupts… |
/// | 12 lifetime | LifeTests (idle, leased, tended, claimed, exactly now) |
/// | 13 a thousand born together | LifeTests.aThousandConnections…, LifeTests.noMoreConnectsBegin… |
/// | 14 keep-alive and idle time against all else | aKeepAliveThatMeetsAnythingElseEndsWell, aLeaseAndAnIdleTimeout… |
/// | 15 the server kills all connections | afterAllConnectionsDiedTogetherThePoolRecoversWithoutAStampede |
/// | 16 the server is down for minutes | tenThousandRequestsWaitForAServerThatIsDown… |
/// | 17 fairness | everybodyIsServedInTheOrderOfArrivalAndNobodyWaitsMuchLongerThanHeMust |
/// | 18 barging | QueueingTests.whoComesAtTheMomentOfAReturn…, AcquireTests.aNewcomerNeverOvertakes… |
/// | 19 leases that end twice, late, never | LeaseTests |
/// | 20 all idle connections are dead | ValidationTests.manyDeadIdle…, manyHanging…, deadConnectionsAndAServerThatIsDown… |
/// | 21 expiry during everything | GroupTests, ConnectTests.whatWasBeingOpened…, expiringTwiceClosesEachConnectionOnce |
/// | 22 ABA | OpenIdleTests, PosthouseProtocolTests, twoThreadsThatTakeAndGiveTheSameSlot… |
/// | 23 hooks that throw, hang, come back | HooksTests, LeaseTests.aStrategyMayCall…, anObserverMayAskThePoolWhateverItHears |
/// | 24 random walks | MachineWalkTests |
/// | 25 a real PostgreSQL | PosthouseTests |
@Suite(.timeLimit(.minutes(20)))
struct ScenarioTests {
    // MARK: 2

    @Test func aStormOfCancellationsAndDeadlinesLosesNothing() async throws {
        let seeds = Seeds.fromEnvironment(default: 6)
        for seed in seeds {
            var random = SplitMix64(seed: seed)
            let strategy = ScriptedStrategy(recycles: true)
            let pool = try ConnectionPool(
                strategy: strategy,
                configuration: PoolConfiguration(
                    maximumSize: 2,
                    connectTimeout: .milliseconds(20),
                    acquireTimeout: .seconds(1000),
                    backoffBase: .milliseconds(1),
                    backoffCap: .milliseconds(4),
                    validation: .always,
                    workTimeout: .milliseconds(20)
                )
            )
            let gates: [Gate] = [.ok, .ok, .error, .never]
            let tasks = (0..<8).map { task in
                Task {
                    for deadline in 0..<40 {
                        let end = ContinuousClock.now + .microseconds(deadline * (task + 1) * 20)
                        try? await pool.withConnection(deadline: end) { _ in await Task.yield() }
                    }
                }
            }
            for round in 0..<40 {
                strategy.script(gates.randomElement(using: &random)!)
                strategy.validation.script(gates.randomElement(using: &random)!)
                strategy.recycling.script(gates.randomElement(using: &random)!)
                await Task.yield()
                if round > 20 { tasks[round % 8].cancel() }
            }
            for task in tasks { await task.value }
            strategy.clearScript()
            strategy.validation.clearScript()
            strategy.recycling.clearScript()
            // Whatever is left of the script is over: the next one is served.
            try await eventually("POSTHOUSE_TEST_SEED=\(seed)") {
                let status = pool.status()
                return status.leased + status.waiting + status.connecting + status.closing == 0
            }
            // On a busy machine a connect may miss its deadline.
            var served = false
            for _ in 0..<1000 where !served { served = (try? await pool.withConnection { _ in true }) ?? false }
            #expect(served, "POSTHOUSE_TEST_SEED=\(seed)")
            try await eventually { strategy.counts.live == pool.status().available }
            #expect(strategy.counts.mostLive <= 2)
            #expect(strategy.counts.overlaps == 0)
            #expect(pool.group.core.violations == [])
            #expect(await pool.close() == 0)
            #expect(strategy.counts.live == 0)
        }
    }

    // MARK: 7

    @Test func aBurstEndsAtTheSoftLimitThoughClosesFailOrTakeTime() async throws {
        for fails in [false, true] {
            let test = try TestPool(5) { $0.burstLimit = 10 }
            if fails { test.strategy.failCloses(ScriptedError(what: "close")) }
            var holders: [Holder] = []
            for _ in 0..<10 {
                holders.append(test.holder())
                _ = try await holders.last!.held()
            }
            let waiter = try await test.waiter()
            // Closing one takes a while: it counts until then.
            test.strategy.onClose { #expect(test.status.closing >= 1) }
            try? await holders[9].end()
            _ = try await waiter.held()
            #expect(test.strategy.counts.closed == 0, "the first one goes to the request that waits")
            for holder in holders.dropLast() + [waiter] { try? await holder.end() }
            test.strategy.onClose(nil)
            try await test.expectAtRest()
            #expect(test.status.size == 5)
        }
    }

    // MARK: 8

    @Test func aSpikeOfShortWorkOpensAtMostTwoMore() throws {
        var script = Script(.failRequester)
        script.add(
            PoolConfiguration(maximumSize: 50, minimumSize: 5, idleTimeout: nil, maximumLifetime: nil)
        )
        for index in 0..<5 { script.connected(SlotID(member: 0, index: index, incarnation: 0)) }
        var world = Simulation(script, connecting: .milliseconds(150), working: .milliseconds(2))
        for caller in 0..<50 { world.ask(caller) }
        world.run()
        #expect(world.served == Array(0..<50))
        #expect(world.mostSockets <= 7)
        #expect(world.waits.max()! <= .milliseconds(30), "the work is done long before the first connect is")
        #expect(world.now <= .milliseconds(30 + 150))
    }

    // MARK: 14

    enum Meeting: CaseIterable { case request, close, terminate, fence, expire, resize, idleTimeout, lifetime }

    @Test(arguments: Meeting.allCases, [Gate.ok, .error, .never])
    func aKeepAliveThatMeetsAnythingElseEndsWell(meeting: Meeting, gate: Gate) async throws {
        let test = try TestPool(2) {
            $0.keepAliveInterval = .seconds(40)
            $0.idleTimeout = meeting == .idleTimeout ? .seconds(55) : nil
            $0.maximumLifetime = meeting == .lifetime ? .seconds(55) : nil
            $0.lifetimeJitter = 0
            $0.acquireTimeout = .seconds(1000)
        }
        try await test.warmUp(2)
        test.strategy.validation.script(gate == .never ? .never : .slow)
        try await test.elapse(.seconds(50), in: 5)
        try await eventually { test.strategy.validation.running == 1 }
        var closing: Task<Int, Never>?
        var holders: [Holder] = []
        let member = test.status.member
        switch meeting {
        case .request: holders = [test.holder(), test.holder()]
        case .close: closing = Task { await test.pool.close() }
        case .terminate: test.pool.terminate()
        case .fence: test.pool.group.fence(member)
        case .expire: test.pool.expire()
        case .resize: try test.pool.resize(maximumSize: 1)
        case .idleTimeout, .lifetime: test.time.advance(by: .seconds(4))
        }
        if gate == .error { test.strategy.kill(1) }
        if gate != .never { try await eventually { test.strategy.validation.waiting == 1 } }
        test.strategy.validation.open()
        if gate == .never { try await test.advanceUntil(.seconds(5)) { test.strategy.validation.running == 0 } }
        for holder in holders {
            _ = try await holder.held()
            try await holder.end()
        }
        if let closing { #expect(await closing.value == 0) }
        try await test.expectAtRest()
        if closing == nil, meeting != .terminate {
            if meeting == .fence { test.pool.group.setServices(.all, for: member) }
            try await test.pool.withConnection { _ in }
            try await test.expectAtRest()
        } else {
            #expect(test.strategy.counts.live == 0)
        }
    }

    @Test func aLeaseAndAnIdleTimeoutAtTheSameMomentNeverMeetOnTheSameConnection() async throws {
        let test = try TestPool(4) { $0.idleTimeout = .seconds(4) }
        for _ in 0..<100 {
            async let used: Void = withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 { group.addTask { try await test.pool.withConnection { _ in await Task.yield() } } }
                try await group.waitForAll()
            }
            test.time.advance(by: .seconds(2))
            try await used
        }
        try await test.expectAtRest()
    }

    // MARK: 15

    @Test(arguments: [0, 8])
    func afterAllConnectionsDiedTogetherThePoolRecoversWithoutAStampede(minimum: Int) throws {
        var script = Script(.keepWaiting)
        script.add(
            PoolConfiguration(
                maximumSize: 8,
                maximumConcurrentConnects: 3,
                minimumSize: minimum,
                idleTimeout: nil,
                maximumLifetime: nil
            )
        )
        var world = Simulation(script, connecting: .milliseconds(10), working: .milliseconds(5))
        for caller in 0..<8 { world.ask(caller) }
        world.run(until: .seconds(10))
        let leased = try world.leaseAll()
        world.serverIsUp = false
        let before = world.begins.count
        for caller in 100..<130 { world.ask(caller) }
        for slot in leased { world.lose(slot) }
        let died = world.now
        world.run(until: died + .seconds(60))
        #expect(world.begins.count - before <= 3 + 7 + 12, "a connect now and then: the back-off holds")
        world.serverIsUp = true
        let repaired = world.now
        world.forgetFirst()
        world.run(until: repaired + .seconds(20))
        #expect(try #require(world.firstServedAt) - repaired <= .seconds(10) + .milliseconds(20), "within one step")
        #expect(Array(world.served.suffix(30)) == Array(100..<130))
        #expect(world.mostConnecting <= 3)
        #expect(world.mostSockets <= 8)
        #expect(world.script.member.live >= minimum)
    }

    // MARK: 16

    @Test func tenThousandRequestsWaitForAServerThatIsDownAndAreServedInOneBackOffStep() async throws {
        let queue = PoolGroupConfiguration(acquireTimeout: .seconds(3600), connectFailurePolicy: .keepWaiting, seed: 1)
        let test = try TestPool(4, queue: queue) { $0.maximumConcurrentConnects = 2 }
        test.strategy.always(.error)
        let executor = ManualExecutor()
        let served = Served()
        let tasks = (0..<10_000).map { index in
            executor.task { try await test.pool.withConnection { _ in served.note(index) } }
        }
        executor.run()
        #expect(test.status.waiting == 10_000)
        let places = test.core.waiterPlaces
        for _ in 0..<60 { try await test.elapse(.seconds(5)) }
        try await eventually { test.status.connecting == 0 }
        #expect(test.strategy.counts.creates <= 2 + 8 + 60, "five minutes at a step of up to ten seconds")
        #expect(test.core.waiterPlaces == places)
        #expect(test.status.waiting == 10_000)
        test.strategy.always(.ok)
        let down = test.strategy.counts.creates
        try await test.elapse(.seconds(10))
        try await eventually {
            executor.run()
            return served.order.count == 10_000
        }
        for task in tasks { try await executor.value(of: task) }
        // Each of them, once; in which order they were granted is not in which order their tasks ran.
        #expect(served.order.sorted() == Array(0..<10_000))
        #expect(test.strategy.counts.creates - down <= 4)
        #expect(test.strategy.counts.mostLive <= 4)
        try await test.expectAtRest()
        #expect(test.core.waiterPlaces == 0)
    }

    // MARK: 17

    @Test func everybodyIsServedInTheOrderOfArrivalAndNobodyWaitsMuchLongerThanHeMust() throws {
        var script = Script(.failRequester)
        script.add(PoolConfiguration(maximumSize: 10, idleTimeout: nil, maximumLifetime: nil))
        var world = Simulation(script, connecting: .zero, working: .milliseconds(200))
        for caller in 0..<100 { world.ask(caller, times: 10) }
        world.run()
        #expect(world.served.count == 1000)
        #expect(world.served == world.asked)
        // A hundred callers on ten connections: nine are ahead of each, 200 ms for each of those.
        let ideal = Duration.milliseconds(200 * 9)
        #expect(world.waits.max()! <= ideal * 2)
        #expect(world.waits.sorted()[999] <= ideal + .milliseconds(200))
    }

    // MARK: 20

    @Test func deadConnectionsAndAServerThatIsDownEndInOneError() async throws {
        let test = try TestPool(5) { $0.validation = .always }
        try await test.warmUp(5)
        test.strategy.validation.script(.error, .error, .error, .error, .error)
        test.strategy.always(.error)
        let creates = test.strategy.counts.creates
        let error = await #expect(throws: PoolError.self) { try await test.pool.withConnection { _ in } }
        #expect(error?.code == .connectFailed)
        #expect(test.strategy.counts.creates == creates + 1)
        #expect(test.strategy.counts.closed == 5)
        try await test.expectAtRest()
    }

    // MARK: 21

    @Test func expiringTwiceClosesEachConnectionOnce() async throws {
        let test = try TestPool(3)
        let holder = test.holder()
        _ = try await holder.held()
        let other = test.holder()
        _ = try await other.held()
        try await other.end()
        test.pool.expire()
        test.pool.expire()
        #expect(test.strategy.counts.closed == 1)
        try await holder.end()
        #expect(test.strategy.counts.closed == 2)
        for _ in 0..<1000 { test.pool.expire() }
        #expect(try await test.pool.withConnection { $0.number } == 3)
        #expect(test.observer.closes == [.expired, .expired])
        try await test.expectAtRest()
    }

    // MARK: 22

    @Test func twoThreadsThatTakeAndGiveTheSameSlotNeverBothHaveIt() async throws {
        let test = try TestPool(1)
        try await test.warmUp(1)
        let holders = Holders()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<3 {
                group.addTask {
                    for round in 0..<30_000 {
                        if round % 500 == 0 { await Task.yield() }
                        // The third one withdraws and lays open all the time.
                        if task == 2 {
                            if round % 10 == 0 { _ = test.core.withMachine { $0.machine.queue.count } }
                            continue
                        }
                        guard let lease = try test.pool.tryAcquire() else { continue }
                        #expect(holders.enter() == 1)
                        holders.leave()
                        try lease.release()
                    }
                }
            }
            try await group.waitForAll()
        }
        try await test.expectAtRest()
        #expect(test.strategy.counts.creates == 1)
    }

    private final class Holders: Sendable {
        private let count = Atomic<Int>(0)

        func enter() -> Int { count.add(1, ordering: .sequentiallyConsistent).newValue }
        func leave() { count.subtract(1, ordering: .sequentiallyConsistent) }
    }

    // MARK: 23

    /// Asks the pool for everything, whenever it is told something.
    private final class Curious: PoolObserver {
        private let pool = Guarded<ConnectionPool<ScriptedStrategy>?>(nil)
        private let heard = Guarded(0)

        var wantsUses: Bool { true }
        var count: Int { heard.withLock { $0 } }
        func know(_ pool: ConnectionPool<ScriptedStrategy>?) { self.pool.withLock { $0 = pool } }

        private func ask() {
            heard.withLock { $0 += 1 }
            guard let pool = pool.withLock({ $0 }) else { return }
            _ = pool.status()
            _ = pool.group.snapshot()
            _ = pool.group.activity()
            if let lease = try? pool.tryAcquire() { try? lease.release() }
        }

        func used(_ member: PoolMember, for duration: Duration) { if count < 1000 { ask() } }
        func connected(_ member: PoolMember, after duration: Duration) { ask() }
        func connectFailed(_ member: PoolMember, error: any Error, after duration: Duration) { ask() }
        func connectionClosed(_ member: PoolMember, reason: CloseReason) { ask() }
        func waited(_ member: PoolMember, for duration: Duration) { ask() }
        func timedOut(_ error: PoolError) { ask() }
        func refused(_ error: PoolError) { ask() }
        func burstStarted(_ member: PoolMember) { ask() }
        func burstStopped(_ member: PoolMember) { ask() }
        func limitReached(_ member: PoolMember) { ask() }
        func leaked(_ lease: LeaseReport) { ask() }
        func leakEnded(_ lease: LeaseReport) { ask() }
        func becameUnavailable(_ member: PoolMember) { ask() }
        func becameAvailable(_ member: PoolMember) { ask() }
    }

    @Test func anObserverMayAskThePoolWhateverItHears() async throws {
        let curious = Curious()
        let strategy = ScriptedStrategy()
        let time = ManualTime()
        let pool = try ConnectionPool(
            strategy: strategy,
            configuration: PoolConfiguration(maximumSize: 1, burstLimit: 2),
            queue: PoolGroupConfiguration(acquireTimeout: .seconds(1), failFastAfter: .zero),
            time: time,
            observer: curious
        )
        curious.know(pool)
        strategy.script(.error)
        try? await pool.withConnection { _ in }
        let holders = [Holder { try await pool.acquire() }, Holder { try await pool.acquire() }]
        try await eventually {
            time.advance(by: .milliseconds(100))
            return holders.allSatisfy { $0.isHolding || $0.error != nil }
        }
        for holder in holders { try? await holder.end() }
        curious.know(nil)
        await pool.close()
        #expect(curious.count >= 3)
        #expect(strategy.counts.live == 0)
    }

    // MARK: Memory

    // A million in the queue alone: QueueingTests.aMillionCancelledWaitersLeaveTheQueueAsItWas.

    @Test(.apart) func aHundredThousandCancelledRequestsLeaveNothingInThePool() async throws {
        let test = try TestPool { $0.acquireTimeout = .seconds(1000) }
        let holder = test.holder()
        _ = try await holder.held()
        let executor = ManualExecutor()
        for _ in 0..<100 {
            let tasks = (0..<1000).map { _ in executor.task { try await test.pool.withConnection { _ in } } }
            executor.run()
            for task in tasks { task.cancel() }
            executor.run()
            await Task.yield()
        }
        #expect(test.status.waiting == 0)
        #expect(test.core.waiterPlaces == 0)
        try await holder.end()
        try await test.expectAtRest()
        #expect(test.core.slotPlaces == 1)
    }
}

extension Simulation {
    /// All connections are leased by somebody who keeps them.
    mutating func leaseAll() throws -> [SlotID] {
        var slots: [SlotID] = []
        while let slot = script.take().slot { slots.append(slot) }
        return slots
    }

    /// A leased connection comes back dead.
    mutating func lose(_ slot: SlotID) { follow(script.release(slot, .closed)) }

    mutating func forgetFirst() { firstServedAt = nil }
}

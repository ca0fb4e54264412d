// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Synchronization
import Testing

@testable import PosthousePool

/// Pools that share a budget.
@Suite(.timeLimit(.minutes(20)))
struct BudgetTests {
    /// Pools whose strategies count like one server.
    private struct Pools {
        let budget: ConnectionBudget
        let strategies: [ScriptedStrategy]
        let pools: [ConnectionPool<ScriptedStrategy>]

        init(
            _ count: Int,
            limit: Int,
            maximumSize: Int = 4,
            acquireTimeout: Duration = .seconds(5),
            time: any TimeSource = ManualTime()
        ) throws {
            let budget = try ConnectionBudget(limit: limit)
            self.budget = budget
            let strategies = (0..<count).map { _ in ScriptedStrategy() }
            self.strategies = strategies
            pools = try strategies.map { strategy in
                try ConnectionPool(
                    strategy: strategy,
                    configuration: PoolConfiguration(maximumSize: maximumSize),
                    queue: PoolGroupConfiguration(
                        acquireTimeout: acquireTimeout,
                        connectFailurePolicy: .failRequester,
                        budget: budget
                    ),
                    time: time
                )
            }
        }

        func holder(_ pool: Int) -> Holder {
            let pool = pools[pool]
            return Holder { try await pool.acquire() }
        }

        func hold(_ pool: Int, _ count: Int) async throws -> [Holder] {
            let holders = (0..<count).map { _ in holder(pool) }
            for holder in holders { _ = try await holder.held() }
            return holders
        }

        var live: Int { strategies.reduce(0) { $0 + $1.counts.live } }
    }

    @Test func anIdleConnectionOfAnotherPoolMakesRoomAtOnce() async throws {
        let test = try Pools(2, limit: 3)
        for holder in try await test.hold(0, 3) { try await holder.end() }
        #expect(test.pools[0].status().available == 3)
        let holders = try await test.hold(1, 2)
        #expect(test.live == 3)
        #expect(test.pools[0].status().size == 1)
        #expect(test.budget.used == 3)
        for holder in holders { try await holder.end() }
        #expect(test.budget.waitingPools == 0)
    }

    @Test func whatComesBackWhileAnotherPoolAsksGoesThere() async throws {
        let test = try Pools(2, limit: 2)
        let held = try await test.hold(0, 2)
        let other = test.holder(1)
        try await eventually("it asks") { test.budget.waitingPools == 1 }
        try await held[0].end()
        _ = try await other.held()
        #expect(test.live == 2)
        try await held[1].end()
        // Nobody asks any more: it rests.
        try await eventually { test.pools[0].status().available == 1 }
        try await other.end()
    }

    @Test func aBusyPoolGivesUpPlacesUntilBothHoldAsMany() async throws {
        let test = try Pools(2, limit: 4)
        let held = try await test.hold(0, 4)
        // Both have more requests than places.
        let more = (0..<4).map { _ in test.holder(0) }
        try await eventually { test.pools[0].status().waiting == 4 }
        let others = (0..<4).map { _ in test.holder(1) }
        try await eventually { test.pools[1].status().waiting == 4 }
        for holder in held { try await holder.end() }
        try await eventually("both hold two") {
            more.count { $0.isHolding } == 2 && others.count { $0.isHolding } == 2
        }
        #expect(test.live == 4)
        for holder in more + others { holder.cancel() }
        for holder in more + others { _ = try? await holder.end() }
        try await eventually { test.budget.waitingPools == 0 }
    }

    @Test func aPoolThatClosesGivesItsPlacesBack() async throws {
        let test = try Pools(2, limit: 1)
        let held = try await test.hold(0, 1)
        let other = test.holder(1)
        try await eventually("it asks") { test.budget.waitingPools == 1 }
        let closing = Task { await test.pools[0].close() }
        try await held[0].end()
        _ = await closing.value
        _ = try await other.held()
        try await other.end()
        await test.pools[1].close()
        #expect(test.budget.used == 0)
    }

    @Test func aConnectThatFailsKeepsNoPlace() async throws {
        let test = try Pools(2, limit: 1)
        test.strategies[0].script(.error)
        let failing = test.holder(0)
        #expect(try await failing.failure()?.code == .connectFailed)
        #expect(test.budget.used == 0)
        let holder = try await test.hold(1, 1)[0]
        try await holder.end()
    }

    @Test func aTaskThatWaitsForItselfAcrossPoolsEndsAtItsDeadline() async throws {
        let time = ManualTime()
        let test = try Pools(2, limit: 1, time: time)
        let held = try await test.hold(0, 1)
        let other = test.holder(1)
        try await eventually("it asks") { test.budget.waitingPools == 1 && time.sleepers > 0 }
        time.advance(by: .seconds(6))
        #expect(try await other.failure()?.code == .timedOut)
        try await eventually { test.budget.waitingPools == 0 }
        try await held[0].end()
        #expect(test.pools[0].status().available == 1)
    }

    @Test func aPoolThatIsDroppedWhileOthersCompeteEndsInPeace() async throws {
        for _ in 0..<50 {
            let test = try Pools(2, limit: 2, acquireTimeout: .seconds(1000), time: SystemTime())
            let budget = test.budget
            do {
                let gone = try ConnectionPool(
                    strategy: ScriptedStrategy(),
                    queue: PoolGroupConfiguration(
                        acquireTimeout: .seconds(1000),
                        connectFailurePolicy: .failRequester,
                        budget: budget
                    )
                )
                try await gone.withConnection { _ in }
                let held = try await test.hold(0, 1)
                let others = (0..<3).map { _ in
                    Task { try await test.pools[1].withConnection { _ in await Task.yield() } }
                }
                async let closed = gone.close()
                for holder in held { try await holder.end() }
                for other in others { try await other.value }
                _ = await closed
            }
            for pool in test.pools { await pool.close() }
            try await eventually { budget.used == 0 }
        }
    }

    @Test func aBudgetOfNothingIsRefused() {
        #expect(throws: PoolError.self) { try ConnectionBudget(limit: 0) }
    }

    @Test func underLoadFromAllSidesTheLimitHoldsAndEverybodyIsServed() async throws {
        let test = try Pools(4, limit: 5, maximumSize: 5, acquireTimeout: .seconds(1000), time: SystemTime())
        let open = Counter()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for user in 0..<16 {
                group.addTask {
                    for turn in 0..<200 {
                        try await test.pools[(user + turn / 20) % 4].withConnection { _ in
                            open.enter()
                            await Task.yield()
                            open.leave()
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(open.most <= 5)
        try await eventually("all sockets are counted") { test.live == test.budget.used }
        #expect(test.budget.used <= 5)
        #expect(test.budget.waitingPools == 0)
        for pool in test.pools { await pool.close() }
        #expect(test.budget.used == 0)
        for pool in test.pools { #expect(pool.group.core.violations == []) }
    }
}

/// How many were inside at the same time.
private final class Counter: Sendable {
    private let state = Guarded((now: 0, most: 0))

    var most: Int { state.withLock { $0.most } }

    func enter() {
        state.withLock { state in
            state.now += 1
            state.most = max(state.most, state.now)
        }
    }

    func leave() { state.withLock { $0.now -= 1 } }
}

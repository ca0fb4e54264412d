// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct IdleClaimTests {
    private func idle(_ test: TestPool) async throws -> PoolSlot {
        let holder = test.holder()
        let slot = try await holder.held().slot
        #expect(!slot.withIdleClaim { .evict }, "it is leased")
        try await holder.end()
        return slot
    }

    @Test func aClaimedConnectionIsNotHandedOut() async throws {
        let test = try TestPool()
        let slot = try await idle(test)
        var ran = false
        let claimed = slot.withIdleClaim {
            ran = true
            #expect(!slot.withIdleClaim { .evict }, "it is claimed")
            #expect((try? test.takesAtOnce()) == false)
            return .keep
        }
        #expect(claimed && ran)
        #expect(try test.takesAtOnce())
        try await test.expectAtRest()
    }

    @Test func aRequestThatComesDuringAClaimIsServedAfterIt() async throws {
        let test = try TestPool()
        let slot = try await idle(test)
        let executor = ManualExecutor()
        let served = Served()
        slot.withIdleClaim {
            _ = executor.task { try await test.pool.withConnection { served.note($0.number) } }
            executor.run()
            #expect(test.status.waiting == 1)
            return .keep
        }
        executor.run()
        #expect(served.order == [1])
        try await test.expectAtRest()
        #expect(test.strategy.counts.creates == 1)
    }

    @Test func anEvictedConnectionIsClosedAndTheNextRequestGetsANewOne() async throws {
        let test = try TestPool()
        let slot = try await idle(test)
        let executor = ManualExecutor()
        let waiter = executor.task { try await test.pool.withConnection { $0.number } }
        slot.withIdleClaim {
            executor.run()
            #expect(test.status.waiting == 1)
            return .evict
        }
        #expect(test.strategy.closedNumbers == [1])
        #expect(test.observer.events.contains(.closed(.evicted)))
        try await eventually { executor.ready > 0 }
        executor.run()
        #expect(try await waiter.value == 2)
        #expect(!slot.withIdleClaim { .evict }, "its connection is gone")
        try await test.expectAtRest()
    }

    @Test func aConnectionThatIsClaimedWhileThePoolClosesIsClosedAfterwards() async throws {
        let test = try TestPool()
        let slot = try await idle(test)
        slot.withIdleClaim {
            test.pool.terminate()
            #expect(test.strategy.counts.closed == 0)
            return .keep
        }
        #expect(test.strategy.counts.live == 0)
    }

    @Test func claimsAndRequestsNeverHoldTheSameConnection() async throws {
        let test = try TestPool(2)
        try await test.warmUp(2)
        let users = Users()
        let tasks = (0..<4).map { _ in
            Task {
                for _ in 0..<300 {
                    try await test.pool.withConnection { connection in
                        users.enter(connection.slot)
                        await Task.yield()
                        users.leave(connection.slot)
                    }
                }
            }
        }
        let claims = Task {
            var claimed = 0
            while !Task.isCancelled {
                for slot in users.slots {
                    slot.withIdleClaim {
                        users.enter(slot)
                        users.leave(slot)
                        claimed += 1
                        return claimed % 50 == 0 ? .evict : .keep
                    }
                }
                await Task.yield()
            }
        }
        for task in tasks { try await task.value }
        claims.cancel()
        await claims.value
        #expect(users.conflicts == 0)
        try await test.expectAtRest()
    }
}

/// Who holds which connection.
private final class Users: Sendable {
    private struct State {
        var slots: [PoolSlot] = []
        var held: Set<ObjectIdentifier> = []
        var conflicts = 0
    }

    private let state = Guarded(State())

    var slots: [PoolSlot] { state.withLock { $0.slots } }
    var conflicts: Int { state.withLock { $0.conflicts } }

    func enter(_ slot: PoolSlot) {
        state.withLock { state in
            if !state.slots.contains(where: { $0 === slot }) { state.slots.append(slot) }
            if !state.held.insert(ObjectIdentifier(slot)).inserted { state.conflicts += 1 }
        }
    }

    func leave(_ slot: PoolSlot) {
        state.withLock { state in
            if state.held.remove(ObjectIdentifier(slot)) == nil { state.conflicts += 1 }
        }
    }
}

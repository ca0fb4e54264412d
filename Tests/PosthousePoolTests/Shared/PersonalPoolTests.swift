// SPDX-License-Identifier: Apache-2.0

import Foundation
import PosthouseBase
import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct PersonalPoolTests {
    private let strategy = ScriptedStrategy()
    private let time = ManualTime()
    private let observer = RecordingObserver()

    private func makePool(lingering: Duration = .seconds(1)) throws -> PersonalPool<ScriptedStrategy> {
        try PersonalPool(strategy: strategy, lingering: lingering, time: time, observer: observer)
    }

    private func expectNothingIsLeft() async throws {
        try await eventually("every connection is closed") { strategy.counts.live == 0 }
    }

    // MARK: - Tasks

    @Test func aTaskGetsTheSameConnectionAgain() async throws {
        let pool = try makePool()
        var numbers: [Int] = []
        for _ in 0..<5 { numbers.append(try await pool.withConnection { $0.number }) }
        #expect(numbers == [1, 1, 1, 1, 1])
        #expect(strategy.counts.opened == 1)
        #expect(strategy.counts.closed == 0)
        await pool.close()
        try await expectNothingIsLeft()
    }

    @Test func nestedScopesShareTheConnectionAndOnlyTheOutermostGivesItBack() async throws {
        let pool = try makePool()
        try await pool.withConnection { outer in
            try await pool.withConnection { middle in
                try await pool.withConnection { inner in
                    #expect(inner === outer)
                    #expect(middle === outer)
                }
            }
            #expect(pool.status() == PersonalPoolStatus(tasks: 1, threads: 0, size: 1, available: 0, leased: 1))
            await #expect(throws: ScriptedError.self) {
                try await pool.withConnection { _ in throw ScriptedError(what: "inner") }
            }
            #expect(pool.status().leased == 1)
            // Called from somewhere that does not know of the scope.
            #expect(try await number(of: pool) == outer.number)
        }
        #expect(pool.status() == PersonalPoolStatus(tasks: 1, threads: 0, size: 1, available: 1, leased: 0))
        #expect(strategy.counts.opened == 1)
        await pool.close()
    }

    private func number(of pool: PersonalPool<ScriptedStrategy>) async throws -> Int {
        try await pool.withConnection { $0.number }
    }

    @Test func aChildTaskHasAConnectionOfItsOwn() async throws {
        let pool = try makePool()
        try await pool.withConnection { mine in
            async let child = pool.withConnection { $0.number }
            let unstructured = Task { try await pool.withConnection { $0.number } }
            let grouped = try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<3 { group.addTask { try await pool.withConnection { $0.number } } }
                return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
            }
            var others = grouped
            others.insert(try await child)
            others.insert(try await unstructured.value)
            #expect(others.count == 5)
            #expect(!others.contains(mine.number))
            #expect(try await pool.withConnection { $0.number } == mine.number)
        }
        await pool.close()
        try await expectNothingIsLeft()
    }

    @Test func thereIsNoMaximum() async throws {
        let pool = try makePool()
        let all = Served()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    try await pool.withConnection { connection in
                        all.note(connection.number)
                        // Nobody goes on before all have one.
                        try await eventually("all have one") { all.order.count == 100 }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(Set(all.order).count == 100)
        await pool.close()
        try await expectNothingIsLeft()
    }

    @Test func theConnectionOfAnEndedTaskIsClosed() async throws {
        let pool = try makePool()
        try await Task { try await pool.withConnection { _ in } }.value
        #expect(pool.status().available == 1)
        time.advance(by: .milliseconds(999))
        #expect(strategy.counts.closed == 0)
        time.advance(by: .seconds(1))
        try await expectNothingIsLeft()
        #expect(pool.status().tasks == 0)
        // And it goes on doing so.
        try await Task { try await pool.withConnection { _ in } }.value
        time.advance(by: .seconds(2))
        try await expectNothingIsLeft()
    }

    @Test func aTaskThatUsesItsConnectionNowAndThenKeepsIt() async throws {
        let pool = try makePool()
        for _ in 0..<5 {
            #expect(try await pool.withConnection { $0.number } == 1)
            time.advance(by: .milliseconds(700))
        }
        try await pool.withConnection { connection in
            time.advance(by: .seconds(100))
            #expect(connection.number == 1)
        }
        #expect(strategy.counts.closed == 0)
        await pool.close()
    }

    @Test func theConnectionIsClosedAtTheEndOfItsTasksLifetime() async throws {
        let pool = try makePool()
        try await pool.withTaskLifetime {
            #expect(try await pool.withConnection { $0.number } == 1)
            time.advance(by: .seconds(1000))
            try await pool.withTaskLifetime {
                let number = try await pool.withConnection { $0.number }
                #expect(number == 1)
            }
            #expect(strategy.counts.closed == 0)
            #expect(try await pool.withConnection { $0.number } == 1)
        }
        #expect(strategy.counts.closed == 1)
        await #expect(throws: ScriptedError.self) {
            try await pool.withTaskLifetime {
                try await pool.withConnection { _ in }
                throw ScriptedError(what: "body")
            }
        }
        #expect(strategy.counts.live == 0)
        #expect(pool.status().tasks == 0)
        await pool.close()
    }

    @Test func aLifetimeWithinAScopeLeavesTheConnectionToTheScope() async throws {
        let pool = try makePool(lingering: .zero)
        try await pool.withConnection { connection in
            try await pool.withTaskLifetime {
                let number = try await pool.withConnection { $0.number }
                #expect(number == connection.number)
            }
            #expect(strategy.counts.closed == 0)
        }
        #expect(strategy.counts.live == 0)
    }

    @Test func aConnectionThatDiedBetweenTwoScopesIsReplaced() async throws {
        let pool = try makePool()
        try await pool.withConnection { strategy.kill($0) }
        #expect(try await pool.withConnection { $0.number } == 2)
        strategy.kill(2)
        #expect(try await pool.withConnection { $0.number } == 3)
        #expect(strategy.counts.live == 1)
        await pool.close()
        try await expectNothingIsLeft()
    }

    @Test func aPermitEndsWithItsOutermostScope() async throws {
        let pool = try makePool()
        let permits = try await pool.withLease { _, outer in
            let inner = try await pool.withLease { _, permit in permit }
            #expect(inner.isValid)
            return [outer, inner]
        }
        #expect(permits.map(\.isValid) == [false, false])
        try await pool.withConnection { _ in
            #expect(permits.map(\.isValid) == [false, false])
        }
        await pool.close()
    }

    @Test func aConnectErrorReachesItsTaskAndTheNextScopeTriesAgain() async throws {
        let pool = try makePool()
        strategy.script(.error)
        let error = await #expect(throws: PoolError.self) { try await pool.withConnection { _ in } }
        #expect(error?.code == .connectFailed)
        #expect(error?.underlying as? ScriptedError == ScriptedError(what: "connect"))
        #expect(try await pool.withConnection { $0.number } == 2)
        await pool.close()
    }

    // MARK: - Threads

    @Test func aThreadGetsTheSameConnectionAgainAlsoNested() async throws {
        let pool = try makePool()
        let numbers = try await onThread {
            let first = try pool.withThreadConnection { outer in
                try pool.withThreadConnection { inner in
                    #expect(inner === outer)
                    return inner.number
                }
            }
            #expect(pool.status() == PersonalPoolStatus(tasks: 0, threads: 1, size: 1, available: 1, leased: 0))
            #expect(throws: ScriptedError.self) {
                try pool.withThreadConnection { _ in throw ScriptedError(what: "body") }
            }
            // However long it waits.
            time.advance(by: .seconds(1000))
            return [first, try pool.withThreadConnection { $0.number }]
        }
        #expect(numbers == [1, 1])
        try await expectNothingIsLeft()
        #expect(strategy.counts.opened == 1)
        #expect(pool.status().threads == 0)
    }

    @Test func theConnectionsOfEndedThreadsAreClosed() async throws {
        let pool = try makePool()
        let other = try PersonalPool(strategy: strategy, time: time)
        let numbers = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<10 {
                group.addTask {
                    try await onThread {
                        try other.withThreadConnection { _ in }
                        return try pool.withThreadConnection { $0.number }
                    }
                }
            }
            return try await group.reduce(into: Set<Int>()) { $0.insert($1) }
        }
        #expect(numbers.count == 10)
        try await expectNothingIsLeft()
        #expect(strategy.counts.closed == 20)
    }

    @Test func aThreadMayOutliveThePool() async throws {
        let number = try await onThread {
            let pool = try makePool()
            return try pool.withThreadConnection { $0.number }
        }
        #expect(number == 1)
        try await expectNothingIsLeft()
        #expect(observer.events.contains(.dropped))
    }

    @Test func aConnectErrorReachesItsThread() async throws {
        let pool = try makePool()
        strategy.script(.error)
        let error = await #expect(throws: PoolError.self) {
            try await onThread { try pool.withThreadConnection { $0.number } }
        }
        #expect(error?.code == .connectFailed)
    }

    @Test func blockingInATaskIsRefused() async throws {
        let pool = try makePool()
        let error = #expect(throws: PoolError.self) { try pool.withThreadConnection { _ in } }
        #expect(error?.code == .insideTask)
        let other = #expect(throws: PoolError.self) { try BlockingCall.wait {} }
        #expect(other?.code == .insideTask)
        #expect(strategy.counts.creates == 0)
    }

    // MARK: - Ends

    @Test func closingClosesIdleConnectionsAtOnceAndLetsScopesFinish() async throws {
        let pool = try makePool()
        let idle = Task { try await pool.withConnection { _ in } }
        try await idle.value
        let closing = try await pool.withConnection { connection in
            let closing = Task { await pool.close() }
            try await eventually("the idle one is closed") { strategy.counts.closed == 1 }
            #expect(pool.isClosed)
            // It is this scope's still.
            #expect(try await pool.withConnection { $0.number } == connection.number)
            let refused = await #expect(throws: PoolError.self) {
                try await Task { try await pool.withConnection { _ in } }.value
            }
            #expect(refused?.code == .closed)
            return closing
        }
        #expect(await closing.value == 0)
        #expect(strategy.counts.live == 0)
        let error = await #expect(throws: PoolError.self) { try await pool.withConnection { _ in } }
        #expect(error?.code == .closed)
        #expect(await pool.close() == 0)
    }

    @Test func aDeadlineInterruptsTheScopesThatAreLeft() async throws {
        let pool = try makePool()
        try await pool.withLease { _, permit in
            #expect(await pool.close(deadline: time.now - .seconds(1)) == 1)
            #expect(!permit.isValid)
        }
        #expect(strategy.interrupted == [.terminated])
        #expect(strategy.counts.live == 0)
    }

    @Test func terminatingInterruptsAndClosesEverything() async throws {
        let pool = try makePool()
        try await Task { try await pool.withConnection { _ in } }.value
        try await pool.withConnection { _ in pool.terminate() }
        #expect(strategy.interrupted == [.terminated])
        #expect(strategy.counts.live == 0)
    }

    @Test func oneFailingCloseDoesNotStopTheOthers() async throws {
        let pool = try makePool()
        strategy.failCloses(ScriptedError(what: "close"))
        for _ in 0..<3 { try await Task { try await pool.withConnection { _ in } }.value }
        await pool.close()
        #expect(strategy.counts.closed == 3)
        #expect(observer.events.count { $0 == .returnError("\(ScriptedError(what: "close"))") } == 3)
    }

    @Test func aDroppedPoolClosesItsConnections() async throws {
        do {
            let pool = try makePool()
            try await pool.withConnection { _ in }
        }
        try await expectNothingIsLeft()
    }

    @Test func timesOutOfRangeAreRefused() throws {
        let error = #expect(throws: PoolError.self) { try makePool(lingering: .seconds(-1)) }
        #expect(error?.code == .invalidConfiguration)
    }

    @Test func aPersonalPoolCanBeShared() async throws {
        let shared = SharedPool<PersonalPool<ScriptedStrategy>>(name: "TestPool")
        shared.initialize(try makePool())
        let outer = shared.connected { db in
            try await shared.instance().withConnection { $0.number == db.number }
        }
        #expect(try await outer())
        await shared.close()
        try await expectNothingIsLeft()
    }

    @Test(arguments: 0..<8)
    func scopesLifetimesThreadsAndTheEndAtTheSameTimeLoseNoConnection(round: Int) async throws {
        let strategy = ScriptedStrategy()
        let pool = try PersonalPool(strategy: strategy, lingering: .milliseconds(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<20 {
                group.addTask {
                    do {
                        for _ in 0..<20 {
                            switch index % 3 {
                            case 0: try await pool.withConnection { _ in try await pool.withConnection { _ in } }
                            case 1: try await pool.withTaskLifetime { try await pool.withConnection { _ in } }
                            default: try await onThread { try pool.withThreadConnection { _ in } }
                            }
                        }
                    } catch let error as PoolError {
                        try #require(error.code == .closed)
                    }
                }
            }
            if round % 2 == 0 {
                group.addTask {
                    try await Task.sleep(for: .milliseconds(2))
                    await pool.close()
                }
            }
            try await group.waitForAll()
        }
        await pool.close()
        try await eventually("every connection is closed") { strategy.counts.live == 0 }
        #expect(pool.status() == PersonalPoolStatus(tasks: 0, threads: 0, size: 0, available: 0, leased: 0))
    }
}

/// Runs `body` on a thread of its own, which ends after it.
private func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        Thread { continuation.resume(with: Swift.Result { try body() }) }.start()
    }
}

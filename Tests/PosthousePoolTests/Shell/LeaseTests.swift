// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct LeaseTests {
    private let closing = ScriptedError(what: "close")

    @Test func aLeaseThatIsDroppedReturnsItsConnection() async throws {
        let test = try TestPool()
        do {
            let lease = try await test.pool.acquire()
            #expect(lease.connection.number == 1)
        }
        #expect(test.status.available == 1)
        #expect(test.core.activity().map { [UInt64($0.leased), $0.endedLeases] } == [[0, 1]])
        try await test.expectAtRest()
    }

    @Test func aReleasedLeaseIsReturnedOnce() async throws {
        let test = try TestPool()
        let lease = try await test.pool.acquire()
        try lease.release()
        #expect(test.core.activity().map { [UInt64($0.leased), $0.endedLeases] } == [[0, 1]])
        try await test.expectAtRest()
    }

    @Test func aPermitIsValidUntilItsLeaseEndsAndNeverAgain() async throws {
        let test = try TestPool()
        let lease = try await test.pool.acquire()
        let permit = lease.permit
        #expect(permit.isValid)
        try permit.check()
        try lease.release()
        let denied = #expect(throws: PermitDenied.self) { try permit.check() }
        #expect(denied?.code == .leaseExpired)
        // The connection is in other hands: still not.
        let other = try await test.pool.acquire()
        #expect(other.permit.isValid)
        #expect(!permit.isValid)
    }

    @Test func aCloseErrorReachesTheEndOfTheScope() async throws {
        let test = try TestPool()
        test.strategy.failCloses(closing)
        let error = await #expect(throws: ScriptedError.self) {
            try await test.pool.withConnection { test.strategy.kill($0) }
        }
        #expect(error == closing)
        let lease = try await test.pool.acquire()
        test.strategy.kill(lease.connection)
        do {
            try lease.release()
            Issue.record("closing did not throw")
        } catch {
            #expect(error as? ScriptedError == closing)
        }
        #expect(!test.observer.events.contains(.returnError("\(closing)")))
        try await test.expectAtRest()
        #expect(test.status.size == 0)
    }

    @Test func aBodysErrorWinsAndTheCloseErrorGoesToTheObserver() async throws {
        let test = try TestPool()
        test.strategy.failCloses(closing)
        let error = await #expect(throws: ScriptedError.self) {
            try await test.pool.withConnection { connection in
                test.strategy.kill(connection)
                throw ScriptedError(what: "body")
            }
        }
        #expect(error == ScriptedError(what: "body"))
        #expect(test.observer.events.contains(.returnError("\(closing)")))
        try await test.expectAtRest()
    }

    @Test func theCloseErrorOfADroppedLeaseGoesToTheObserver() async throws {
        let test = try TestPool()
        test.strategy.failCloses(closing)
        do {
            let lease = try await test.pool.acquire()
            test.strategy.kill(lease.connection)
        }
        #expect(test.observer.events.contains(.returnError("\(closing)")))
        try await test.expectAtRest()
    }

    @Test func theCloseErrorOfAConnectionThatNobodyHeldGoesToTheObserver() async throws {
        let test = try TestPool()
        try await test.warmUp(1)
        test.strategy.failCloses(closing)
        test.strategy.kill(1)
        #expect(try await test.pool.withConnection { $0.number } == 2)
        #expect(test.observer.events.contains(.returnError("\(closing)")))
        await test.pool.close()
        #expect(test.observer.events.count { $0 == .returnError("\(closing)") } == 2)
    }

    @Test func aStrategyMayCallThePoolFromEveryOneOfItsMethods() async throws {
        let test = try TestPool(2)
        try await test.warmUp(2)
        test.strategy.onCheck { _ in #expect(test.status.size >= 1) }
        test.strategy.onClose { #expect(test.status.closing == 1) }
        test.strategy.onInterrupt { #expect(test.status.leased == 1) }
        test.strategy.kill(1)
        let holder = test.holder()
        _ = try await holder.held()
        test.pool.terminate()
        try await holder.end()
        #expect(test.strategy.counts.live == 0)
    }
}

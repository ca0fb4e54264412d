// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// What is done before a connection is handed out, if it is to be validated.
@Suite(.timeLimit(.minutes(20)))
struct ValidationTests {
    private func validating(
        _ size: Int = 1,
        _ change: (inout PoolConfiguration) -> Void = { _ in }
    ) throws -> TestPool {
        try TestPool(size) {
            $0.validation = .always
            change(&$0)
        }
    }

    @Test func everyHandOutIsValidatedIfThatIsThePolicy() async throws {
        let test = try validating()
        for round in 1...5 {
            try await test.pool.withConnection { _ in }
            #expect(test.strategy.validation.ended == round)
        }
        #expect(test.strategy.counts.creates == 1)
        try await test.expectAtRest()
    }

    @Test func nothingIsValidatedIfThatIsThePolicy() async throws {
        let test = try TestPool()
        for _ in 0..<5 { try await test.pool.withConnection { _ in } }
        #expect(test.strategy.validation.begun == 0)
    }

    @Test func aConnectionThatHasRestedIsValidatedBeforeItsNextUseAndNoOther() async throws {
        let test = try TestPool(2) { $0.validation = .ifIdle(longerThan: .seconds(40)) }
        try await test.warmUp(2)
        try await test.pool.withConnection { _ in }
        #expect(test.strategy.validation.begun == 0)
        try await test.elapse(.seconds(60), in: 6)
        try await test.pool.withConnection { _ in }
        try await test.pool.withConnection { _ in }
        #expect(test.strategy.validation.begun == 1, "the first one, and only once")
        #expect(test.strategy.counts.creates == 2)
        try await test.expectAtRest()
    }

    @Test func aConnectionThatFailsItsValidationIsClosedAndTheRequestGetsAnother() async throws {
        let test = try validating()
        try await test.warmUp(1)
        test.strategy.validation.script(.error)
        let number = try await test.pool.withConnection { $0.number }
        #expect(number == 2)
        #expect(test.strategy.closedNumbers == [1])
        #expect(test.observer.closes == [.unfit])
        try await test.expectAtRest()
    }

    @Test func manyDeadIdleConnectionsCostOneValidationEach() async throws {
        let test = try validating(5)
        try await test.warmUp(5)
        let before = test.strategy.validation.begun
        test.strategy.validation.script(.error, .error, .error, .error, .error)
        let number = try await test.pool.withConnection { $0.number }
        #expect(number == 6)
        #expect(test.strategy.validation.begun == before + 6)
        #expect(test.strategy.counts.closed == 5)
        #expect(test.strategy.counts.creates == 6, "one fresh connection")
        try await test.expectAtRest()
    }

    @Test func manyHangingValidationsCostOneDeadline() async throws {
        let test = try validating(5) { $0.acquireTimeout = .seconds(1000) }
        try await test.warmUp(5)
        test.strategy.validation.always(.never)
        let began = test.strategy.validation.begun
        let deadline = test.time.now + .seconds(12)
        let request = test.holder(deadline: deadline)
        for round in 1...3 {
            try await eventually { test.strategy.validation.begun == began + round }
            // Whoever watches over it sleeps by now, or soon: either way he wakes in time.
            if round < 3 { test.time.advance(by: .seconds(5)) }
        }
        test.time.advance(by: .seconds(2))
        let error = try await request.failure()
        #expect(error?.code == .timedOut)
        #expect(error?.waited == .seconds(12))
        test.time.advance(by: .seconds(5))
        try await eventually { test.strategy.validation.running == 0 }
        try await eventually { test.strategy.interrupted.count == 3 }
        test.strategy.validation.always(.ok)
        try await test.expectAtRest()
        #expect(test.status.size == 2, "the three that hung are closed")
    }

    @Test func aValidationThatHangsIsEndedAndTheRequestGetsAnotherConnection() async throws {
        let test = try validating { $0.acquireTimeout = .seconds(1000) }
        try await test.warmUp(1)
        test.strategy.validation.script(.never)
        let request = test.holder()
        try await eventually { test.strategy.validation.running == 1 }
        try await test.advanceUntil(.seconds(5)) { request.isHolding }
        #expect(try await request.held().number == 2)
        #expect(test.strategy.interrupted == [.unresponsive])
        #expect(test.strategy.validation.cancelled == 1)
        #expect(test.strategy.closedNumbers == [1])
        #expect(test.observer.closes == [.unfit])
        try await request.end()
        try await test.expectAtRest()
    }

    @Test func aValidationThatIsDeafCostsItsSlotUntilItEndsAndNobodyElse() async throws {
        let test = try validating(2) { $0.acquireTimeout = .seconds(1000) }
        try await test.warmUp(1)
        test.strategy.validation.script(.slow)
        let request = test.holder()
        try await eventually { test.strategy.validation.waiting == 1 }
        try await test.advanceUntil(.seconds(5)) { request.isHolding }
        #expect(try await request.held().number == 2)
        #expect(test.strategy.counts.closed == 0, "the work still runs")
        test.strategy.validation.open()
        try await eventually { test.strategy.closedNumbers == [1] }
        try await request.end()
        try await test.expectAtRest()
    }

    @Test(arguments: [Gate.slow, .never])
    func aRequestThatIsCancelledDuringItsValidationReturnsAtOnceAndLosesNothing(gate: Gate) async throws {
        let test = try validating()
        try await test.warmUp(1)
        test.strategy.validation.script(gate)
        let request = test.holder()
        try await eventually { test.strategy.validation.running == 1 }
        request.cancel()
        #expect(try await request.failure()?.code == .cancelled)
        #expect(test.strategy.validation.running == 1, "the work is the pool's")
        if gate == .slow {
            test.strategy.validation.open()
            try await test.expectAtRest()
            #expect(test.status.available == 1)
            #expect(test.strategy.counts.closed == 0)
        } else {
            try await test.advanceUntil(.seconds(5)) { test.strategy.validation.running == 0 }
            try await test.expectAtRest()
            #expect(test.strategy.closedNumbers == [1])
        }
        try await eventually("no timer is left") { test.time.sleepers <= 1 }
    }

    @Test func nothingIsLeftOfAValidationWhoseRequestWasCancelled() async throws {
        let test = try validating {
            $0.workTimeout = .seconds(1_000_000)
            $0.idleTimeout = nil
            $0.maximumLifetime = nil
        }
        try await test.warmUp(1)
        for _ in 0..<20 {
            test.strategy.validation.script(.slow)
            let request = test.holder()
            try await eventually { test.strategy.validation.waiting == 1 }
            request.cancel()
            #expect(try await request.failure()?.code == .cancelled)
            test.strategy.validation.open()
            try await test.expectAtRest()
        }
        try await eventually("whoever watched over them sleeps no more") { test.time.sleepers <= 1 }
    }

    @Test func aDeadlineDuringAValidationCountsAndTheConnectionIsNotLost() async throws {
        let test = try validating()
        try await test.warmUp(1)
        test.strategy.validation.script(.slow)
        let request = test.holder(deadline: test.time.now + .seconds(1))
        try await eventually { test.strategy.validation.waiting == 1 }
        test.time.advance(by: .seconds(1))
        #expect(try await request.failure()?.code == .timedOut)
        test.strategy.validation.open()
        try await test.expectAtRest()
        #expect(test.status.available == 1)
    }

    @Test func aConnectionThatDiesDuringItsValidationIsNotHandedOut() async throws {
        let test = try validating()
        try await test.warmUp(1)
        test.strategy.validation.script(.slow)
        let request = test.holder()
        try await eventually { test.strategy.validation.waiting == 1 }
        test.strategy.kill(1)
        test.strategy.validation.open()
        #expect(try await request.held().number == 2)
        try await request.end()
        try await test.expectAtRest()
    }

    @Test func whoWasHandedADeadConnectionIsStillFirst() async throws {
        let test = try validating()
        let holder = test.holder()
        _ = try await holder.held()
        let first = try await test.waiter()
        let second = try await test.waiter()
        test.strategy.validation.script(.error)
        try await holder.end()
        #expect(try await first.held().number == 2)
        #expect(!second.isHolding)
        try await first.end()
        _ = try await second.held()
        try await second.end()
        try await test.expectAtRest()
    }

    @Test func aPoolThatIsTerminatedDuringAValidationHandsNothingOut() async throws {
        let test = try validating()
        try await test.warmUp(1)
        test.strategy.validation.script(.slow)
        let request = test.holder()
        try await eventually { test.strategy.validation.waiting == 1 }
        test.pool.terminate()
        #expect(test.strategy.interrupted == [.terminated])
        test.strategy.validation.open()
        #expect(try await request.failure()?.code == .closed)
        try await eventually { test.strategy.counts.live == 0 }
    }

    @Test func tryAcquireGetsNothingThatIsToBeValidated() async throws {
        let test = try validating(wantsUses: true)
        try await test.warmUp(1)
        let before = test.observer.uses.count
        #expect(try !test.takesAtOnce())
        #expect(test.status.available == 1)
        #expect(test.observer.uses.count == before, "nobody used it")
        try await test.expectAtRest()
    }

    @Test func tryAcquireGetsAConnectionOfWhichThereIsNoDoubt() async throws {
        let test = try TestPool { $0.validation = .ifIdle(longerThan: .seconds(40)) }
        try await test.warmUp(1)
        #expect(try test.takesAtOnce())
        try await test.elapse(.seconds(60), in: 6)
        #expect(try !test.takesAtOnce())
        try await test.pool.withConnection { _ in }
        #expect(try test.takesAtOnce())
    }

    /// On the real clock, which cannot count that far.
    @Test func aWorkTimeoutWithoutEndIsLikeAnyOther() async throws {
        let strategy = ScriptedStrategy()
        let pool = try ConnectionPool(
            strategy: strategy,
            configuration: PoolConfiguration(
                maximumSize: 1,
                validation: .always,
                workTimeout: .seconds(Int64.max)
            )
        )
        strategy.validation.script(.slow)
        let request = Holder { try await pool.acquire(deadline: .now + .seconds(Int64.max)) }
        try await eventually { strategy.validation.waiting == 1 }
        for _ in 0..<20 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(strategy.interrupted.isEmpty)
        strategy.validation.open()
        #expect(try await request.held().number == 1)
        try await request.end()
        #expect(await pool.close() == 0)
    }

    private func validating(wantsUses: Bool) throws -> TestPool {
        try TestPool(wantsUses: wantsUses) { $0.validation = .always }
    }
}

extension TestPool {
    /// Time passes until the condition holds: whoever is to be woken by it may be on his way to sleep.
    func advanceUntil(
        _ duration: Duration,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: () -> Bool
    ) async throws {
        try await eventually("time brings it about", sourceLocation: sourceLocation) {
            if !condition() { time.advance(by: duration / 50) }
            return condition()
        }
    }
}

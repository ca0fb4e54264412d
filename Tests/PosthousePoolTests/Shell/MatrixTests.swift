// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Whatever connecting, checking, using and returning do (work, fail, take long, never end): with cancellation at some point
/// of all that, no slot is lost and the next request is served.
@Suite(.timeLimit(.minutes(20)))
struct MatrixTests {
    /// The check is synchronous: it cannot take long, but it can fail in more ways.
    enum Check: CaseIterable { case usable, closed, invalid, cancelled }
    enum Return: CaseIterable { case kept, dead, deadAndCloseFails, invalid }

    @Test(arguments: Gate.allCases, Gate.allCases)
    func noCombinationOfFailuresLosesASlot(connect: Gate, body: Gate) async throws {
        for check in Check.allCases {
            for end in Return.allCases {
                try await run(connect, check, body, end)
            }
        }
    }

    private func run(_ connect: Gate, _ check: Check, _ body: Gate, _ end: Return) async throws {
        let test = try TestPool(2) { $0.acquireTimeout = .seconds(1000) }
        test.strategy.script(connect, connect, connect)
        for number in 1...2 {
            switch check {
            case .usable: break
            case .closed: test.strategy.kill(number)
            case .invalid: test.strategy.invalidate(number)
            case .cancelled: test.strategy.cancelAtCheck(number)
            }
        }
        if end == .deadAndCloseFails { test.strategy.failCloses(ScriptedError(what: "close")) }

        let gate = Promise<Void>()
        let tasks = (0..<6).map { index in
            Task {
                try await test.pool.withConnection { connection in
                    switch end {
                    case .kept: break
                    case .dead, .deadAndCloseFails: test.strategy.kill(connection)
                    case .invalid: test.strategy.invalidate(connection.number)
                    }
                    switch body {
                    case .ok: break
                    case .error: throw ScriptedError(what: "body")
                    case .slow: if index == 0 { await gate.value() } else { await Task.yield() }
                    case .never: try await Task.sleep(for: .seconds(100_000))
                    }
                }
            }
        }
        for index in 0..<3 { tasks[index].cancel() }
        gate.keep(())
        let driver = Task {
            // What is slow goes on, and time passes, until everybody is done.
            while !Task.isCancelled {
                if body == .never { for task in tasks { task.cancel() } }
                await step(test, .milliseconds(100))
            }
        }
        for task in tasks { _ = await task.result }
        test.strategy.clearScript()
        // Those that are still marked are found out, one after the other.
        var served = false
        for _ in 0..<4 where !served {
            served = (try? await test.pool.withConnection { _ in true }) ?? false
        }
        #expect(served, "\(connect) \(check) \(body) \(end)")
        try await eventually { test.status.connecting == 0 && test.status.closing == 0 }
        driver.cancel()
        await driver.value
        try await test.expectAtRest()
        #expect(test.strategy.counts.mostLive <= 2)
        await test.pool.close()
        #expect(test.strategy.counts.live == 0)
    }

    /// Work of the pool's own: connecting, validating before and recycling after the body.
    @Test(arguments: Gate.allCases, Gate.allCases)
    func noCombinationOfConnectingValidatingUsingAndRecyclingLosesASlot(connect: Gate, validate: Gate) async throws {
        for recycle in Gate.allCases {
            for body in Gate.allCases {
                try await run(connect, validate, recycle, body)
            }
        }
    }

    private func run(_ connect: Gate, _ validate: Gate, _ recycle: Gate, _ body: Gate) async throws {
        let strategy = ScriptedStrategy(recycles: true)
        let test = try TestPool(2, strategy: strategy) {
            $0.acquireTimeout = .seconds(1000)
            $0.validation = .always
        }
        strategy.script(connect, connect)
        strategy.validation.script(validate, validate)
        strategy.recycling.script(recycle, recycle)
        let tasks = (0..<4).map { index in
            Task {
                try await test.pool.withConnection { _ in
                    switch body {
                    case .ok: break
                    case .error: throw ScriptedError(what: "body")
                    case .slow: for _ in 0..<5 { await Task.yield() }
                    case .never: if index < 2 { try await Task.sleep(for: .seconds(100_000)) }
                    }
                }
            }
        }
        tasks[0].cancel()
        for _ in 0..<7 { await Task.yield() }
        tasks[1].cancel()
        let driver = Task { await drive(test) }
        for task in tasks { _ = await task.result }
        strategy.clearScript()
        strategy.validation.clearScript()
        strategy.recycling.clearScript()
        // Whatever the script had in store for the next ones has begun by now. Where threads are few, more time than a connect
        // has may pass before its task runs: then it has failed, and the next one is served.
        var served = false
        for _ in 0..<4 where !served {
            served = (try? await test.pool.withConnection { _ in true }) ?? false
        }
        #expect(served, "\(connect) \(validate) \(recycle) \(body)")
        try await eventually("\(connect) \(validate) \(recycle) \(body) comes to rest") {
            let status = test.status
            return status.connecting == 0 && status.closing == 0 && status.available == status.size
        }
        driver.cancel()
        await driver.value
        try await test.expectAtRest()
        #expect(strategy.counts.mostLive <= 2)
        await test.pool.close()
        #expect(strategy.counts.live == 0)
    }

    /// What is slow goes on, and time passes, until the task is cancelled.
    private func drive(_ test: TestPool) async {
        while !Task.isCancelled { await step(test, .milliseconds(250)) }
    }

    /// Whoever was told to end does so before time passes: after a second of it he would be written off, and his place would
    /// be another's while his connection is still open.
    private func step(_ test: TestPool, _ duration: Duration) async {
        repeat {
            if test.strategy.counts.opening > 0 { test.strategy.open() }
            test.strategy.validation.open()
            test.strategy.recycling.open()
            await Task.yield()
        } while (test.core.lateWork > 0 || test.strategy.hasLateWork) && !Task.isCancelled
        test.time.advance(by: duration)
        await Task.yield()
    }
}

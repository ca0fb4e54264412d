// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Whatever connecting, checking, using and returning do (work, fail, take long, never end): with cancellation at some point
/// of all that, no slot is lost and the next request is served.
@Suite(.timeLimit(.minutes(10)))
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
                if test.strategy.counts.opening > 0 { test.strategy.open() }
                if body == .never { for task in tasks { task.cancel() } }
                // Whoever was told to end does so before time passes: after a second of it he would be written off.
                while test.core.abandonedConnects > 0, test.strategy.counts.opening == 0, !Task.isCancelled {
                    await Task.yield()
                }
                test.time.advance(by: .milliseconds(100))
                await Task.yield()
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
}

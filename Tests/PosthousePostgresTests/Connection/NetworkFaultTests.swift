// SPDX-License-Identifier: Apache-2.0

import PosthouseReactor
import PosthouseTestKit
import Testing

@testable import PosthousePostgres

/// What a network does between a task and a healthy server.
@Suite(.timeLimit(.minutes(20))) struct NetworkFaultTests {
    private func withProxy(
        _ body: (FaultProxy, ConnectionParameters, EventLoop) async throws -> Void
    ) async throws {
        let proxy = try await FaultProxy(to: TestServer.node)
        do {
            let parameters = try ConnectionParameters("postgresql://postgres@127.0.0.1:\(proxy.port)/postgres")
            try await withLoop { loop in try await body(proxy, parameters, loop) }
        } catch {
            await proxy.close()
            throw error
        }
        await proxy.close()
    }

    @Test func whatHappensInMidStatementIsTyped() async throws {
        let cases: [(FaultProxy.Fault, Set<DatabaseError.Code>)] = [
            (.reset, [.connectionLost]),
            (.cut, [.connectionLost]),
            (.garbage(), [.protocolViolation, .connectionLost]),
            (.blackHole(), [.timedOut]),
        ]
        for (fault, codes) in cases {
            try await withProxy { proxy, parameters, loop in
                try await Gate.withGate { gate in
                    let connection = try await connect(parameters, loop: loop)
                    defer { connection.close() }
                    let deadline: ContinuousClock.Instant? = codes == [.timedOut] ? .now + .seconds(5) : nil
                    let task = Task { try await connection.query(gate.waiting, deadline: deadline) }
                    try await eventually("the statement waits") { loop.statistics.waitingContinuations == 1 }
                    try await proxy.apply(fault)
                    let error = try await databaseError { try await task.value }
                    #expect(codes.contains(error.code) && error.outcome == .mayHaveRun, "\(fault): \(error)")
                    #expect(connection.isClosed && !connection.isReusable)
                }
            }
        }
    }

    @Test func whatHappensWhileIdleIsKnownBeforeTheNextStatement() async throws {
        for fault in [FaultProxy.Fault.reset, .cut] {
            try await withProxy { proxy, parameters, loop in
                let connection = try await connect(parameters, loop: loop)
                defer { connection.close() }
                _ = try await connection.query("SELECT 1")
                try await proxy.apply(fault)
                try await eventually("the end arrived") { connection.registration.hasPendingEvent }
                let error = try await databaseError { try await connection.query("SELECT 1") }
                #expect(error.code == .connectionLost && error.outcome == .notSent && error.isSafeToRetry)
            }
        }
    }

    @Test func slowNetworksOnlyTakeTime() async throws {
        try await withProxy { proxy, parameters, loop in
            try await proxy.apply(.delay(.milliseconds(20)))
            let connection = try await connect(parameters, loop: loop)
            defer { connection.close() }
            let text = String(repeating: "z", count: 300_000)
            let row = try await connection.query("SELECT \(text)::text, 1").one()
            #expect(try row.decode((String, Int).self) == (text, 1))
        }
    }

    @Test func cutsAtAnyMomentOfALoginAreTyped() async throws {
        try await withProxy { proxy, parameters, loop in
            for round in 0..<30 {
                try await proxy.apply(.delay(.milliseconds(1)))
                let task = Task { try await connect(parameters, loop: loop) }
                try await Task.sleep(for: .microseconds(400 * round))
                try await proxy.apply(round.isMultiple(of: 2) ? .cut : .reset)
                do {
                    try await task.value.close()
                } catch let error as DatabaseError {
                    #expect(error.code == .connectionLost || error.code == .connectionRefused, "\(error)")
                    #expect(error.outcome == .notSent)
                }
                try await proxy.heal()
            }
        }
    }
}

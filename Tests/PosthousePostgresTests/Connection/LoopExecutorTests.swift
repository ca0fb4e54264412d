// SPDX-License-Identifier: Apache-2.0

import PosthouseReactor
import Testing

@testable import PosthousePostgres

/// Tasks that prefer a connection's loop as their executor, and tasks on an actor.
@Suite(.timeLimit(.minutes(20))) struct LoopExecutorTests {
    @Test func aTaskOnTheLoopDoesEverything() async throws {
        let parameters = try await TestServer.parameters(user: "alice", password: TestServer.password)
        try await withLoop { loop in
            let task = Task(executorPreference: loop) {
                #expect(EventLoop.current === loop)
                let connection = try await connect(parameters, loop: loop)
                defer { connection.close() }
                #expect(EventLoop.current === loop)
                let sum = try await connection.session.withTransaction { tx in
                    var sum = 0
                    for number in 0..<200 {
                        sum += try await tx.queryValue("SELECT \(number)::int", as: Int.self)
                        #expect(EventLoop.current === loop)
                    }
                    return sum
                }
                let text = String(repeating: "x", count: 3_000_000)
                let length: Int = try await connection.session.queryValue("SELECT length(\(text))")
                let late = try await databaseError {
                    try await connection.query("SELECT pg_sleep(60)", deadline: .now + .milliseconds(20))
                }
                #expect(late.code == .timedOut)
                return sum + length
            }
            let result = try await task.value
            #expect(result == 199 * 100 + 3_000_000)
        }
    }

    @Test func manyConnectionsShareALoop() async throws {
        let parameters = try await TestServer.parameters()
        try await withLoop { loop in
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<20 {
                    group.addTask(executorPreference: loop) {
                        let connection = try await connect(parameters, loop: loop)
                        defer { connection.close() }
                        var sum = 0
                        for number in 0..<100 {
                            sum += try await connection.query("SELECT \(number)::int").one().decode(Int.self)
                        }
                        return sum
                    }
                }
                for try await sum in group { #expect(sum == 4950) }
            }
        }
    }

    @Test @MainActor func aTaskOnAnActorStaysThere() async throws {
        try await withConnection { connection in
            let row = try await connection.query("SELECT 1").one()
            MainActor.assertIsolated()
            #expect(try row.decode(Int.self) == 1)
        }
    }
}

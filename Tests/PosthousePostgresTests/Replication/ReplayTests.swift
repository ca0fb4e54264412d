// SPDX-License-Identifier: Apache-2.0

import PosthouseReactor
import PosthouseTestKit
import Testing

@testable import PosthousePostgres

/// A primary and its replica, and what they say of their logs.
@Suite(.serialized, .timeLimit(.minutes(20))) struct ReplayTests {
    /// A session with the primary and one with its replica, for the time of `body`.
    private func withSessions(
        _ body: (LocalCluster, _ primary: DatabaseSession, _ replica: DatabaseSession) async throws -> Void
    ) async throws {
        let configuration = LocalCluster.Configuration(replicas: 1, setUp: ["CREATE TABLE t (i int)"])
        try await LocalCluster.withCluster(configuration) { cluster in
            try await withLoop { loop in
                let primary = try await connect(parameters(cluster.primary), loop: loop)
                defer { primary.close() }
                let replica = try await connect(parameters(cluster.replicas[0]), loop: loop)
                defer { replica.close() }
                try await body(cluster, primary.session, replica.session)
            }
        }
    }

    private func parameters(_ node: LocalNode) throws -> ConnectionParameters {
        try ConnectionParameters(node.dsn(), environment: ConnectionEnvironment(userName: "postgres"))
    }

    @Test func aReplicaThatHasReplayedThePositionOfACommitShowsIt() async throws {
        try await withSessions { _, primary, replica in
            for number in 1...50 {
                // The log is written later then, and the position must be of this commit all the same.
                if number == 25 { try await primary.execute("SET synchronous_commit = off") }
                try await primary.execute("INSERT INTO t VALUES (\(number))")
                let position = try await primary.logPosition()
                #expect(try await replica.waitForReplay(of: position.lsn, timeout: .seconds(60)) == .reached)
                #expect(try await replica.queryValue("SELECT max(i) FROM t") == number)
            }
        }
    }

    @Test func aPositionTellsSystemAndTimelineOnBothSides() async throws {
        try await withSessions { cluster, primary, replica in
            try await primary.execute("INSERT INTO t VALUES (1)")
            let written = try await primary.logPosition()
            #expect(try await replica.waitForReplay(of: written.lsn, timeout: .seconds(60)) == .reached)
            let replayed = try await replica.logPosition()
            #expect(replayed.lsn >= written.lsn)
            #expect(written.timeline == 1 && replayed.timeline == 1)
            #expect(written.systemIdentifier != nil && written.systemIdentifier == replayed.systemIdentifier)

            try await cluster.failOver(to: cluster.replicas[0])
            #expect(try await replica.logPosition().timeline == 2)
            #expect(try await replica.waitForReplay(of: .max, timeout: .seconds(60)) == .notInRecovery)
        }
    }

    @Test func aReplicaThatDoesNotReplayIsWaitedForUntilTheTimeIsUp() async throws {
        try await withSessions { _, primary, replica in
            try await replica.execute("SELECT pg_wal_replay_pause()")
            try await primary.execute("INSERT INTO t VALUES (1)")
            let position = try await primary.logPosition()
            #expect(try await replica.waitForReplay(of: position.lsn, timeout: .milliseconds(50)) == .timedOut)
            #expect(try await replica.waitForReplay(of: position.lsn, timeout: .zero) == .timedOut)
            let waiting = Task { try await replica.waitForReplay(of: position.lsn, timeout: .seconds(60)) }
            try await eventually("the replica is asked") { replica.transactionStatus == .active }
            waiting.cancel()
            let error = try await databaseError { try await waiting.value }
            #expect(error.code == .cancelled)
            guard error.outcome == .notSent else { return }
            try await replica.execute("SELECT pg_wal_replay_resume()")
            #expect(try await replica.waitForReplay(of: position.lsn, timeout: .seconds(60)) == .reached)
        }
    }

    /// The next record will begin behind the page's header, where a replica that has replayed all there is has not been.
    @Test func aCommitThatFillsItsPageIsNotWaitedForInVain() async throws {
        try await withSessions { _, primary, replica in
            var isFilled = false
            for _ in 0..<50 where !isFilled {
                let free = 8192 - (try await insertPosition(primary)) % 8192
                // A message that ends with the page; 56 bytes of it are not its text.
                guard free > 100, free < 8000 else {
                    try await emit(64, on: primary)
                    continue
                }
                try await emit(free - 56, on: primary)
                isFilled = try await insertPosition(primary) % 8192 == 24
            }
            try #require(isFilled)
            let position = try await primary.logPosition()
            #expect(position.lsn % 8192 == 0)
            // It is written to the disk soon, and nothing follows it.
            #expect(try await replica.waitForReplay(of: position.lsn, timeout: .seconds(60)) == .reached)
        }
    }

    private func insertPosition(_ session: DatabaseSession) async throws -> Int {
        try await session.queryValue("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8")
    }

    private func emit(_ length: Int, on session: DatabaseSession) async throws {
        try await session.execute("SELECT pg_logical_emit_message(false, '', repeat('x', \(length)))")
    }

    @Test func withinATransactionThereIsNoPositionOfItsCommit() async throws {
        try await withConnection { connection in
            try await connection.execute("BEGIN")
            let error = try await databaseError { try await connection.session.logPosition() }
            #expect(error.code == .invalidStatement && error.outcome == .notSent)
            try await connection.execute("ROLLBACK")
            _ = try await connection.session.logPosition()
        }
    }

    @Test func whoMayNotReadTheControlFileGetsAPositionWithoutIt() async throws {
        try await withConnection { connection in
            try await connection.execute("CREATE ROLE outsider")
            try await connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
            try await connection.execute("SET ROLE outsider")
            let position = try await connection.session.logPosition()
            #expect(position.systemIdentifier == nil && position.timeline == 1 && position.lsn > 0)
            try await connection.execute("RESET ROLE")
            try await connection.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
            try await connection.execute("DROP ROLE outsider")
            #expect(try await connection.session.logPosition().systemIdentifier != nil)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseReactor
import PosthouseTestKit
import Testing

@testable import PosthousePostgres

/// What an error says of the fate of a statement whose server goes away: the rows of ``OutcomeTests`` that need a server of
/// their own.
@Suite(.serialized, .timeLimit(.minutes(20))) struct CrashOutcomeTests {
    private static let setUp = [
        "CREATE TABLE t (i int)",
        """
        CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'
        """,
        "CREATE TABLE slow (i int)",
        """
        CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION dawdle()
        """,
    ]

    private func parameters(_ node: LocalNode) throws -> ConnectionParameters {
        try ConnectionParameters(node.dsn(), environment: ConnectionEnvironment(userName: "postgres"))
    }

    /// What runs when the server dies.
    private enum Work: CaseIterable {
        case statement, inTransaction, commit, script, commitInScript

        var outcome: DatabaseError.Outcome {
            switch self {
            case .statement, .script: .mayHaveRun
            case .inTransaction: .failed
            case .commit, .commitInScript: .commitOutcomeUnknown
            }
        }

        func run(on connection: DatabaseConnection) async throws {
            switch self {
            case .statement: try await connection.execute("INSERT INTO t SELECT 1 FROM pg_sleep(60)")
            case .inTransaction:
                try await connection.session.withTransaction { tx in
                    try await tx.execute("INSERT INTO t SELECT 1 FROM pg_sleep(60)")
                }
            case .commit:
                try await connection.session.withTransaction { try await $0.execute("INSERT INTO slow VALUES (1)") }
            case .script: try await connection.executeScript("INSERT INTO t VALUES (1); SELECT pg_sleep(60)")
            case .commitInScript:
                try await connection.executeScript("BEGIN; INSERT INTO slow VALUES (1); /* now */ COMMIT")
            }
        }
    }

    /// Until all but one of the sessions, which asks, are in their sleep.
    private func untilAllSleep(_ count: Int, on node: LocalNode) async throws {
        try await eventually("all are under way") {
            try await node.value(of: "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "\(count)"
        }
    }

    @Test func aCrashLeavesInDoubtWhatCouldHaveBeenCommittedAndNothingElse() async throws {
        for isKilled in [true, false] {
            try await LocalCluster.withCluster(LocalCluster.Configuration(setUp: Self.setUp)) { cluster in
                try await withLoop { loop in
                    var running: [(Work, DatabaseConnection, Task<Void, any Error>)] = []
                    for work in Work.allCases {
                        let connection = try await connect(parameters(cluster.primary), loop: loop)
                        running.append((work, connection, Task { try await work.run(on: connection) }))
                    }
                    defer { running.forEach { $0.1.close() } }
                    let idle = try await connect(parameters(cluster.primary), loop: loop)
                    defer { idle.close() }
                    try await idle.execute("BEGIN")
                    try await untilAllSleep(running.count, on: cluster.primary)
                    if isKilled {
                        try await cluster.primary.kill()
                    } else {
                        try await cluster.primary.stop(.immediate)
                    }
                    for (work, connection, task) in running {
                        let error = try await databaseError { try await task.value }
                        #expect(error.outcome == work.outcome, "\(work): \(error)")
                        #expect(error.isConnectionFailure && connection.isClosed)
                        let isInDoubt = error.outcome != .failed
                        #expect((connection.session.effects > 0) == isInDoubt, "\(work)")
                    }
                    try await eventually("the end arrived") { idle.registration.hasPendingEvent }
                    let commit = try await databaseError { try await idle.execute("COMMIT") }
                    #expect(commit.outcome == .notSent)
                }
            }
        }
    }

    /// A server that shuts down in good order says so to each session, and means what runs on it.
    @Test func aShutDownEndsStatementsAsFailed() async throws {
        try await LocalCluster.withCluster(LocalCluster.Configuration(setUp: Self.setUp)) { cluster in
            try await withLoop { loop in
                let connections = [
                    try await connect(parameters(cluster.primary), loop: loop),
                    try await connect(parameters(cluster.primary), loop: loop),
                ]
                defer { connections.forEach { $0.close() } }
                let insert = Task { try await Work.statement.run(on: connections[0]) }
                let commit = Task { try await Work.commit.run(on: connections[1]) }
                try await untilAllSleep(2, on: cluster.primary)
                try await cluster.primary.stop(.fast)
                let failed = try await databaseError { try await insert.value }
                #expect(failed.outcome == .failed && failed.sqlState == .adminShutdown && failed.isSafeToRetry)
                let unknown = try await databaseError { try await commit.value }
                #expect(unknown.outcome == .commitOutcomeUnknown && !unknown.isSafeToRetry)
            }
        }
    }

    /// What waits for its synchronous standby is committed, and an administrator who ends the session says neither yes nor no.
    @Test func anInsertWhoseReplicationIsWaitedForMayHaveRunAndHas() async throws {
        let configuration = LocalCluster.Configuration(setUp: Self.setUp)
        try await LocalCluster.withCluster(configuration) { cluster in
            try await withLoop { loop in
                try await cluster.primary.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
                try await cluster.primary.reload()
                let connections = [
                    try await connect(parameters(cluster.primary), loop: loop),
                    try await connect(parameters(cluster.primary), loop: loop),
                ]
                defer { connections.forEach { $0.close() } }
                for connection in connections {
                    try await eventually("the setting has arrived") {
                        try await connection.query("SHOW synchronous_standby_names").one().decode(String.self)
                            == "nobody"
                    }
                }
                let insert = Task { try await connections[0].execute("INSERT INTO t VALUES (1)") }
                let transaction = Task {
                    try await connections[1].session.withTransaction {
                        try await $0.execute("INSERT INTO t VALUES (2)")
                    }
                }
                try await eventually("both wait for the standby") {
                    try await cluster.primary.value(
                        of: "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                    ) == "2"
                }
                for connection in connections {
                    try await cluster.primary.query("SELECT pg_terminate_backend(\(connection.backendPID))")
                }
                #expect(try await databaseError { try await insert.value }.outcome == .mayHaveRun)
                #expect(try await databaseError { try await transaction.value }.outcome == .commitOutcomeUnknown)
                #expect(try await cluster.primary.value(of: "SELECT count(*) FROM t") == "2")
            }
        }
    }

    @Test func aBeginWhoseAnswerIsLostLeavesNothing() async throws {
        try await LocalCluster.withCluster { cluster in
            try await withLoop { loop in
                let connection = try await connect(parameters(cluster.primary), loop: loop)
                defer { connection.close() }
                try await cluster.primary.pause()
                let task = Task { try await connection.session.withTransaction { _ in } }
                try await eventually("it is sent") { loop.statistics.waitingContinuations == 1 }
                connection.interrupt(.fenced)
                let error = try await databaseError { try await task.value }
                #expect(error.code == .fenced && error.outcome == .failed)
                #expect(connection.session.effects == 0)
                try await cluster.primary.resume()
            }
        }
    }

    /// A pooler reports the loss of its server in the server's own words, and knows no more than that.
    @Test func whatAPoolerLostMayHaveRun() async throws {
        try await LocalCluster.withCluster(LocalCluster.Configuration(setUp: Self.setUp)) { cluster in
            let bouncer = try await LocalPgBouncer.start(in: cluster, to: cluster.primary, mode: .session)
            try await withLoop { loop in
                let parameters = try ConnectionParameters(
                    bouncer.dsn(),
                    environment: ConnectionEnvironment(userName: "postgres")
                )
                let connection = try await connect(parameters, loop: loop)
                defer { connection.close() }
                let task = Task { try await Work.statement.run(on: connection) }
                try await untilAllSleep(1, on: cluster.primary)
                try await cluster.primary.kill()
                let error = try await databaseError { try await task.value }
                #expect(error.outcome == .mayHaveRun && error.isConnectionFailure, "\(error)")
                #expect(connection.isClosed)
            }
            try await bouncer.kill()
        }
    }
}

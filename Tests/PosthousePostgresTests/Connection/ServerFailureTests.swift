// SPDX-License-Identifier: Apache-2.0

import Glibc
import PosthouseReactor
import PosthouseTestKit
import Testing

@testable import PosthousePostgres

/// What a server does that not everybody else can share.
@Suite(.serialized, .timeLimit(.minutes(20))) struct ServerFailureTests {
    private func parameters(_ node: LocalNode, _ more: [String: String] = [:]) throws -> ConnectionParameters {
        try ConnectionParameters(node.dsn(parameters: more), environment: ConnectionEnvironment(userName: "postgres"))
    }

    @Test func aKilledServerIsALostConnection() async throws {
        try await LocalCluster.withCluster { cluster in
            try await withLoop { loop in
                let events = RecordedEvents()
                let running = try await connect(parameters(cluster.primary), loop: loop, events: events)
                defer { running.close() }
                let idle = try await connect(parameters(cluster.primary), loop: loop)
                defer { idle.close() }
                let task = Task { try await running.query("SELECT pg_sleep(60)") }
                try await eventually("the statement runs") { loop.statistics.waitingContinuations == 1 }
                try await cluster.primary.kill()
                let error = try await databaseError { try await task.value }
                #expect(error.code == .connectionLost && error.outcome == .mayHaveRun && error.isTransient)
                #expect(running.isClosed)
                #expect(events.all == [.lost(.connectionLost, .mayHaveRun)])
                try await eventually("the end arrived") { idle.registration.hasPendingEvent }
                let next = try await databaseError { try await idle.query("SELECT 1") }
                #expect(next.code == .connectionLost && next.outcome == .notSent)
                let refused = try await databaseError { try await connect(parameters(cluster.primary), loop: loop) }
                #expect(refused.code == .connectionRefused)
            }
        }
    }

    @Test func aFrozenServerIsSilentUntilTheDeadline() async throws {
        try await LocalCluster.withCluster { cluster in
            try await withLoop { loop in
                let connection = try await connect(parameters(cluster.primary), loop: loop)
                defer { connection.close() }
                try await cluster.primary.pause()
                let error = try await databaseError {
                    try await connection.query("SELECT 1", deadline: .now + .seconds(5))
                }
                #expect(error.code == .timedOut && error.outcome == .mayHaveRun)
                let silent = try await databaseError {
                    try await connect(parameters(cluster.primary), loop: loop, within: .milliseconds(200))
                }
                #expect(silent.code == .timedOut)
                // More than the sockets between us hold: what libpq still has cannot have run.
                try await cluster.primary.resume()
                let large = try await connect(parameters(cluster.primary), loop: loop)
                defer { large.close() }
                try await cluster.primary.pause()
                let unsent = try await databaseError {
                    let text = String(repeating: "x", count: 30_000_000)
                    return try await large.query("SELECT \(text)::text", deadline: .now + .seconds(5))
                }
                #expect(unsent.code == .timedOut && unsent.outcome == .notSent && unsent.phase == .sending)
                try await cluster.primary.resume()
            }
        }
    }

    @Test func aServerThatShutsDownSays57P03AndThenRefuses() async throws {
        try await LocalCluster.withCluster { cluster in
            try await withLoop { loop in
                // A smart shutdown waits for sessions, and tells newcomers.
                let session = try await connect(parameters(cluster.primary), loop: loop)
                defer { session.close() }
                let pid = try #require(try await cluster.primary.status().pid)
                Glibc.kill(pid, SIGTERM)
                var error = try await databaseError {
                    while true { try await connect(parameters(cluster.primary), loop: loop).close() }
                }
                #expect(error.code == .server && error.sqlState == .cannotConnectNow && error.isTransient)
                session.close()
                error = try await databaseError {
                    while true {
                        do {
                            try await connect(parameters(cluster.primary), loop: loop).close()
                        } catch let error as DatabaseError where error.sqlState == .cannotConnectNow {
                            continue
                        }
                    }
                }
                #expect(error.code == .connectionRefused || error.code == .connectionLost)
            }
        }
    }

    @Test func aFullServerIs53300() async throws {
        let configuration = LocalCluster.Configuration(
            settings: ["max_connections": "4", "superuser_reserved_connections": "0", "max_wal_senders": "0"]
        )
        try await LocalCluster.withCluster(configuration) { cluster in
            try await withLoop { loop in
                var open: [DatabaseConnection] = []
                defer { open.forEach { $0.close() } }
                let error = try await databaseError {
                    while true { open.append(try await connect(parameters(cluster.primary), loop: loop)) }
                }
                #expect(error.sqlState == .tooManyConnections && error.code == .server && error.isTransient)
                #expect(open.count <= 4)
            }
        }
    }

    @Test func tlsProtectsAndVerifies() async throws {
        try await LocalCluster.withCluster(LocalCluster.Configuration(tls: true)) { cluster in
            try await withLoop { loop in
                let root = try #require(cluster.rootCertificate)
                let full = ["sslmode": "verify-full", "sslrootcert": root]
                let connection = try await connect(parameters(cluster.primary, full), loop: loop)
                defer { connection.close() }
                #expect(connection.isEncrypted)
                let inUse = try await connection.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").one()
                #expect(try inUse.decode(Bool.self))

                let port = cluster.primary.port
                let wrongName = try ConnectionParameters(
                    "host=db.example hostaddr=127.0.0.1 port=\(port) user=postgres sslmode=verify-full sslrootcert=\(root)"
                )
                let unknown = try parameters(cluster.primary, ["sslmode": "verify-ca", "sslrootcert": "/dev/null"])
                for wrong in [wrongName, unknown] {
                    let error = try await databaseError { try await connect(wrong, loop: loop) }
                    #expect(error.code == .tlsFailed && error.phase == .connecting, "\(error)")
                }
            }
        }
    }

    @Test func largeAnswersOverTLSArriveWhole() async throws {
        try await LocalCluster.withCluster(LocalCluster.Configuration(tls: true)) { cluster in
            try await withLoop { loop in
                let connection = try await connect(parameters(cluster.primary, ["sslmode": "require"]), loop: loop)
                defer { connection.close() }
                // Sizes around those of TLS records and of libpq's buffer.
                for size in [8191, 8192, 16_383, 16_384, 16_385, 24_000, 32_768, 40_000, 65_537, 1_000_003, 20_000_001]
                {
                    for _ in 0..<8 {
                        let sql: SQL = "SELECT repeat('x', \(size)::int)"
                        let text = try await connection.query(sql, deadline: .now + .seconds(60)).one().decode(
                            String.self
                        )
                        #expect(text.utf8.count == size)
                    }
                }
                let text = String(repeating: "y", count: 20_000_000)
                let back = try await connection.query("SELECT \(text)::text", deadline: .now + .seconds(60)).one()
                #expect(try back.decode(String.self) == text)
                for round in 0..<50 {
                    let rows = try await connection.query(
                        "SELECT repeat('z', 100 + i % 7) FROM generate_series(1, \(round * 100)::int) i",
                        deadline: .now + .seconds(60)
                    )
                    #expect(rows.count == round * 100)
                }
            }
        }
    }

    @Test func aPromotionIsKnownFromTheNextAnswer() async throws {
        try await LocalCluster.withCluster(LocalCluster.Configuration(replicas: 1)) { cluster in
            try await withLoop { loop in
                let events = RecordedEvents()
                let replica = cluster.replicas[0]
                let connection = try await connect(parameters(replica), loop: loop, events: events)
                defer { connection.close() }
                guard connection.serverVersion >= 140_000 else { return }
                #expect(connection.inHotStandby == true)
                let refused = try await databaseError { try await connection.execute("CREATE TABLE t (i int)") }
                #expect(refused.sqlState == .readOnlySQLTransaction && events.all == [.readOnly])
                try await replica.promote()
                try await eventually("the promotion is complete") {
                    try await replica.value(of: "SELECT pg_is_in_recovery()") == "f"
                }
                _ = try await connection.query("SELECT 1")
                #expect(connection.inHotStandby == false)
                #expect(events.all == [.readOnly, .inHotStandby(false)])
                try await connection.execute("CREATE TABLE t (i int)")
            }
        }
    }
}

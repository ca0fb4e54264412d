// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import PosthouseTestKit
import Synchronization
import Testing

extension RealServers {
    /// Work that is tried again while servers die and change their roles.
    @Suite struct RetriedFailoverTests {
        /// Writers use `withTransaction`, so that only a COMMIT whose answer is lost is an error to them.
        /// `POSTHOUSE_TEST_FAILOVERS=20` crashes so many times in each way.
        @Test(.timeLimit(.minutes(30)), arguments: [Loss.immediate, .kill])
        func aCrashIsFeltByNoTransactionButThoseWhoseCommitIsUnderWay(_ crash: Loss) async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
                let trial = FailoverTrial(servers: servers, cluster: cluster, leavesRetrying: true, returns: false)
                for round in 1...rounds {
                    let outcome = try await trial.run(crash)
                    print("round \(round), \(outcome)")
                    #expect(outcome.reckoning.isClean, "\(outcome.reckoning)")
                    let doubts = outcome.failures.filter { $0.label.hasSuffix("commit outcome unknown") }
                    let others = outcome.failures.filter { !$0.label.hasSuffix("commit outcome unknown") }
                    #expect(others.isEmpty, "\(others.map(\.description))")
                    #expect(doubts.count == outcome.reckoning.doubtful)
                    if round < rounds { try await trial.restore() }
                }
                await cluster.close()
            }
        }

        @Test func readersDoNotFeelTheLossOfAReplica() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2)) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
                try await cluster.ready(timeout: .seconds(120))
                let readers = Readers(8, of: cluster)
                let victim = servers.replicas[0]
                for strike in 0..<3 {
                    let before = readers.count
                    try await eventually("reads go on") { readers.count > before + 100 }
                    try await eventually("the victim is read from") {
                        try await victim.value(
                            of: "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                        ) != "0"
                    }
                    switch strike {
                    case 0: try await victim.kill()
                    case 1: try await victim.stop(.immediate)
                    default: try await victim.stop(.fast)
                    }
                    let after = readers.count
                    try await eventually("reads go on without it") { readers.count > after + 100 }
                    try await victim.start()
                    try await cluster.ready(timeout: .seconds(120))
                }
                await readers.stop()
                print("\(readers.count) reads while a replica was lost three times, \(readers.errors.count) errors")
                #expect(readers.errors.isEmpty, "\(readers.errors)")
                await cluster.close()
            }
        }

        @Test func aWriteThatIsRefusedWaitsUntilWritesAreTaken() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: ["CREATE TABLE t (i int)"])) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
                try await cluster.execute("INSERT INTO t VALUES (1)")
                // As before a planned switch: the primary is still one, and takes no writes.
                try await servers.primary.query("ALTER SYSTEM SET default_transaction_read_only = on")
                try await servers.primary.reload()
                try await eventually("writes are refused") {
                    try await servers.primary.value(of: "SHOW default_transaction_read_only") == "on"
                }
                let statement = Task { try await cluster.execute("INSERT INTO t VALUES (2)") }
                let transaction = Task {
                    try await cluster.withTransaction { try await $0.execute("INSERT INTO t VALUES (3)") }
                }
                try await eventually("the cluster has noticed") { cluster.snapshot().primaries.isEmpty }
                try await servers.primary.query("ALTER SYSTEM RESET default_transaction_read_only")
                try await servers.primary.reload()
                #expect(try await statement.value == 1)
                #expect(try await transaction.value == 1)
                #expect(try await servers.primary.value(of: "SELECT count(*) FROM t") == "3")
                await cluster.close()
            }
        }

        /// A transaction that began on a standby refuses writes, and the next one finds a primary.
        @Test func aPoolsTransactionOnAStandbyCommitsOnceItIsPromoted() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: ["CREATE TABLE t (i int)"])) { servers in
                let heir = servers.replicas[0]
                try await heir.waitUntilCaughtUp(with: servers.primary)
                let pool = try DatabasePool(heir.dsn())
                let runs = Runs()
                let limits = RetryLimits(attempts: .max)
                async let inserted = pool.withTransaction(retrying: limits) { tx in
                    runs.next()
                    return try await tx.execute("INSERT INTO t VALUES (1)")
                }
                try await eventually("it was refused") { runs.count > 1 }
                try await heir.promote()
                #expect(try await inserted == 1)
                #expect(try await heir.value(of: "SELECT count(*) FROM t") == "1")
                await pool.close()
            }
        }

        /// The pooler goes on saying that the server is a standby.
        @Test func aPromotionThatAPoolerKeepsToItselfHasNothingRunForEver() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: ["CREATE TABLE t (i int)"])) { servers in
                let heir = servers.replicas[0]
                try await heir.waitUntilCaughtUp(with: servers.primary)
                let bouncer = try await LocalPgBouncer.start(in: servers, to: heir, mode: .session)
                let pool = try DatabasePool(bouncer.dsn(), configuration: PoolConfiguration(maximumSize: 1))
                _ = try await pool.query("SELECT 1")
                try await heir.promote()
                let inserted = try await pool.withTransaction { try await $0.execute("INSERT INTO t VALUES (1)") }
                #expect(inserted == 1)
                let runs = Runs()
                let error = await #expect(throws: DatabaseError.self) {
                    try await pool.withTransaction { tx in
                        runs.next()
                        try await tx.execute("SET TRANSACTION READ ONLY")
                        try await tx.execute("INSERT INTO t VALUES (2)")
                    }
                }
                #expect(error?.sqlState == .readOnlySQLTransaction && runs.count == 1)
                await pool.close()
                try await bouncer.kill()
            }
        }

        @Test func aPoolsTransactionOutlastsARestart() async throws {
            try await LocalCluster.withCluster(.init(setUp: ["CREATE TABLE t (i int)"])) { servers in
                let pool = try DatabasePool(servers.primary.dsn())
                let runs = Runs()
                async let inserted = pool.withTransaction(retrying: RetryLimits(attempts: .max)) { tx in
                    let inserted = try await tx.execute("INSERT INTO t VALUES (1)")
                    if runs.next() > 1 { return inserted }
                    return try await tx.execute("SELECT pg_sleep(60)")
                }
                try await eventually("it runs") { runs.count > 0 }
                try await servers.primary.kill()
                try await servers.primary.start()
                #expect(try await inserted == 1)
                #expect(try await servers.primary.value(of: "SELECT count(*) FROM t") == "1")
                await pool.close()
            }
        }
    }
}

/// Tasks that read from replicas through `query`, one statement after the other, until they are told to stop.
private final class Readers: Sendable {
    private let read = Runs()
    private let isStopping = Atomic(false)
    private let state = Mutex((errors: [String](), tasks: [Task<Void, Never>]()))

    init(_ count: Int, of cluster: PostgresCluster) {
        let tasks = (0..<count).map { _ in Task { await self.work(on: cluster) } }
        state.withLock { $0.tasks = tasks }
    }

    var count: Int { read.count }
    var errors: [String] { state.withLock { $0.errors } }

    func stop() async {
        isStopping.store(true, ordering: .relaxed)
        for task in state.withLock({ $0.tasks }) { await task.value }
    }

    private func work(on cluster: PostgresCluster) async {
        while !isStopping.load(ordering: .relaxed) {
            do {
                // Long enough to be lost in the middle.
                _ = try await cluster.query("SELECT pg_sleep(0.005)")
                read.next()
            } catch {
                let text = String(describing: error)
                state.withLock { $0.errors.append(text) }
            }
        }
    }
}

private let rounds = Int(ProcessInfo.processInfo.environment["POSTHOUSE_TEST_FAILOVERS"] ?? "").map { max($0, 1) } ?? 2

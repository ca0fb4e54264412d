// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Work that fails on servers that stay as they are.
    @Suite struct RetryTests {
        private let servers: LocalCluster
        private let cluster: PostgresCluster

        init() async throws {
            servers = try await SharedServers.get()
            cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
        }

        /// Ends the session that runs it.
        private static let suicide: SQL = "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)"

        /// An empty table of that name, for the time of `body`.
        private func withTable(
            _ table: String,
            _ columns: String = "i int",
            _ body: () async throws -> Void
        ) async throws {
            try await servers.primary.query("CREATE TABLE \(table) (\(columns))")
            try await body()
            try await servers.primary.query("DROP TABLE \(table)")
            await cluster.close()
        }

        private func rows(of table: String) async throws -> String? {
            try await servers.primary.value(of: "SELECT count(*) FROM \(table)")
        }

        // MARK: Conflicts

        @Test func transactionsThatConflictAllCommitInTheEnd() async throws {
            try await withTable("tally", "n int") {
                try await servers.primary.query("INSERT INTO tally VALUES (0)")
                let runs = Runs()
                try await withThrowingTaskGroup { group in
                    for _ in 0..<4 {
                        group.addTask {
                            for _ in 0..<10 {
                                try await cluster.withTransaction(
                                    retrying: RetryLimits(attempts: 1000),
                                    isolation: .serializable
                                ) { tx in
                                    runs.next()
                                    let n: Int = try await tx.queryValue("SELECT n FROM tally")
                                    try await tx.execute("UPDATE tally SET n = \(n + 1)")
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(try await servers.primary.value(of: "SELECT n FROM tally") == "40")
                print("40 transactions took \(runs.count) runs")
            }
        }

        @Test func aDeadlockIsBrokenAndBothCommit() async throws {
            try await withTable("forks", "id int, n int") {
                try await servers.primary.query("INSERT INTO forks VALUES (1, 0), (2, 0)")
                let runs = Runs()
                let bothHoldOne = Runs()
                try await withThrowingTaskGroup { group in
                    for (first, second) in [(1, 2), (2, 1)] {
                        group.addTask {
                            try await cluster.withTransaction { tx in
                                let isFirstRun = runs.next() <= 2
                                try await tx.execute("UPDATE forks SET n = n + 1 WHERE id = \(first)")
                                if isFirstRun {
                                    bothHoldOne.next()
                                    try await eventually("both hold one") { bothHoldOne.count >= 2 }
                                }
                                try await tx.execute("UPDATE forks SET n = n + 1 WHERE id = \(second)")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                #expect(runs.count >= 3)
                #expect(try await servers.primary.value(of: "SELECT sum(n) FROM forks") == "4")
            }
        }

        @Test func aConflictOfALoneStatementIsTriedAgainUnlessAPartMayHaveBeenCommitted() async throws {
            try await servers.primary.query(
                """
                CREATE SEQUENCE conflicts;
                CREATE FUNCTION conflict() RETURNS int LANGUAGE plpgsql AS
                    $$ BEGIN IF nextval('conflicts') < 3 THEN RAISE 'lost' USING ERRCODE = '40001'; END IF; RETURN 1; END $$
                """
            )
            #expect(try await cluster.execute("SELECT conflict()") == 1)
            #expect(try await servers.primary.value(of: "SELECT last_value FROM conflicts") == "3")
            let error = await #expect(throws: DatabaseError.self) {
                try await cluster.execute("DO $$ BEGIN RAISE 'lost' USING ERRCODE = '40001'; END $$")
            }
            #expect(error?.outcome == .mayHaveRun)
            try await servers.primary.query("DROP FUNCTION conflict(); DROP SEQUENCE conflicts")
            await cluster.close()
        }

        // MARK: Lost connections

        @Test func aTransactionWhoseSessionEndsIsRunAgainOnAnotherOne() async throws {
            try await withTable("lost") {
                let runs = Runs()
                var pids: Set<Int32> = []
                let attempts = try await cluster.withTransaction { tx in
                    pids.insert(tx.backendPID)
                    try await tx.execute("INSERT INTO lost VALUES (1)")
                    let run = runs.next()
                    if run < 3 { try await tx.execute(Self.suicide) }
                    return run
                }
                #expect(attempts == 3)
                #expect(pids.count == 3)
                let left = try await rows(of: "lost")
                #expect(left == "1")
            }
        }

        @Test func aLoneStatementThatTheServerEndedIsTriedAgainUntilTheLimit() async throws {
            let limits = RetryLimits(attempts: 3)
            for onReplica in [false, true] {
                let error = try await #require(throws: RetryError.self) {
                    if onReplica {
                        _ = try await cluster.query(Self.suicide, retrying: limits)
                    } else {
                        try await cluster.execute(Self.suicide, retrying: limits)
                    }
                }
                #expect(error.code == .attemptsExhausted && error.attempts == 3)
                #expect((error.lastError as? DatabaseError)?.sqlState == .adminShutdown)
                #expect("\(error)".contains("3 attempts") && "\(error)".contains("57P01"))
            }
            await cluster.close()
        }

        @Test func aScopeThatHasDoneSomethingIsNotRunAgain() async throws {
            try await withTable("done") {
                let runs = Runs()
                let error = await #expect(throws: DatabaseError.self) {
                    try await cluster.write(retrying: RetryLimits()) { db in
                        runs.next()
                        try await db.execute("INSERT INTO done VALUES (1)")
                        try await db.execute(Self.suicide)
                    }
                }
                #expect(error?.sqlState == .adminShutdown)
                #expect(runs.count == 1)
                let left = try await rows(of: "done")
                #expect(left == "1")
            }
        }

        @Test func aTransactionThatCommittedByHandIsNotRunAgain() async throws {
            try await withTable("by_hand") {
                for statement in ["COMMIT", "COMMIT AND CHAIN"] {
                    let runs = Runs()
                    await #expect(throws: DatabaseError.self) {
                        try await cluster.withTransaction { tx in
                            runs.next()
                            try await tx.execute("INSERT INTO by_hand VALUES (1)")
                            try await tx.execute(SQL(raw: statement))
                            try await tx.execute(Self.suicide)
                        }
                    }
                    #expect(runs.count == 1)
                }
                let left = try await rows(of: "by_hand")
                #expect(left == "2")
            }
        }

        @Test func aTransactionWhoseCommitWasSentIsNotRunAgain() async throws {
            try await withTable("doubt") {
                try await servers.primary.query(
                    """
                    CREATE FUNCTION doubt() RETURNS trigger LANGUAGE plpgsql AS
                        'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60); RETURN NULL; END';
                    CREATE CONSTRAINT TRIGGER doubt AFTER INSERT ON doubt DEFERRABLE INITIALLY DEFERRED
                        FOR EACH ROW EXECUTE FUNCTION doubt()
                    """
                )
                let runs = Runs()
                let error = await #expect(throws: DatabaseError.self) {
                    try await cluster.withTransaction { tx in
                        runs.next()
                        try await tx.execute("INSERT INTO doubt VALUES (1)")
                    }
                }
                #expect(error?.outcome == .commitOutcomeUnknown)
                #expect(runs.count == 1)
            }
            try await servers.primary.query("DROP FUNCTION doubt()")
        }

        /// The pool's connections die while they are idle, or as they are handed out.
        @Test func deadConnectionsAreFeltByNobody() async throws {
            try await withTable("dead") {
                let kill = """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'dead'
                    """
                let cluster = try PostgresCluster(servers.dsn(parameters: ["application_name": "dead"]))
                for number in 1...20 {
                    try await servers.primary.query(kill)
                    if number.isMultiple(of: 2) {
                        try await cluster.write(retrying: RetryLimits()) { db in _ = try await db.query("SELECT 1") }
                    }
                    try await cluster.withTransaction { tx in
                        try await tx.execute("INSERT INTO dead VALUES (\(number))")
                    }
                }
                let left = try await rows(of: "dead")
                #expect(left == "20")
                await cluster.close()
            }
        }

        // MARK: Writes where none are taken

        @Test func aTransactionThatIsReadOnlyByItsOwnWillIsNotRunAgain() async throws {
            try await withTable("refused") {
                let runs = Runs()
                let insert: SQL = "INSERT INTO refused VALUES (1)"
                let errors = [
                    await #expect(throws: DatabaseError.self) {
                        try await cluster.withTransaction(readOnly: true) { tx in
                            runs.next()
                            try await tx.execute(insert)
                        }
                    },
                    await #expect(throws: DatabaseError.self) {
                        try await cluster.withTransaction { tx in
                            runs.next()
                            try await tx.execute("SET TRANSACTION READ ONLY")
                            try await tx.execute(insert)
                        }
                    },
                    await #expect(throws: DatabaseError.self) {
                        try await cluster.write(retrying: RetryLimits()) { db in
                            runs.next()
                            try await db.execute("BEGIN READ ONLY")
                            try await db.execute(insert)
                        }
                    },
                    await #expect(throws: DatabaseError.self) {
                        try await cluster.query(insert)
                    },
                    await #expect(throws: DatabaseError.self) {
                        try await cluster.withTransaction(readOnly: true, onReplica: true) { tx in
                            runs.next()
                            try await tx.execute(insert)
                        }
                    },
                ]
                #expect(errors.allSatisfy { $0?.sqlState == .readOnlySQLTransaction })
                #expect(runs.count == 4)
            }
        }

        @Test func aTransactionOnAReplicaHasToBeReadOnly() async throws {
            try await cluster.ready(timeout: .seconds(120))
            let error = await #expect(throws: ClusterError.self) {
                try await cluster.withTransaction(onReplica: true) { _ in }
            }
            #expect(error?.code == .invalidArgument)
            let host = try await cluster.withTransaction(readOnly: true, onReplica: true) { tx in
                let isInRecovery: Bool = try await tx.queryValue("SELECT pg_is_in_recovery()")
                #expect(isInRecovery)
                return tx.host
            }
            #expect(host != servers.primary.address)
            await cluster.close()
        }

        // MARK: Ends

        @Test func otherErrorsPassAsTheyAreAfterOneRun() async throws {
            struct Refusal: Error, Equatable { var number: Int }
            try await withTable("unique_once", "i int UNIQUE") {
                let runs = Runs()
                await #expect(throws: Refusal(number: 7)) {
                    try await cluster.withTransaction { tx in
                        runs.next()
                        try await tx.execute("INSERT INTO unique_once VALUES (1)")
                        throw Refusal(number: 7)
                    }
                }
                let error = await #expect(throws: DatabaseError.self) {
                    try await cluster.withTransaction { tx in
                        runs.next()
                        for _ in 0..<2 { try await tx.execute("INSERT INTO unique_once VALUES (1)") }
                    }
                }
                #expect(error?.sqlState == .uniqueViolation)
                #expect(runs.count == 2)
                let left = try await rows(of: "unique_once")
                #expect(left == "0")
            }
        }

        @Test func theErrorOfAnOnlyRunIsItsOwn() async throws {
            let error = await #expect(throws: DatabaseError.self) {
                try await cluster.withTransaction(retrying: .never) { tx in try await tx.execute(Self.suicide) }
            }
            #expect(error?.sqlState == .adminShutdown && error?.isSafeToRetry == true)
            await cluster.close()
        }

        @Test func whatNeverSucceedsEndsWithItsTime() async throws {
            try await cluster.ready(timeout: .seconds(120))
            let limits = RetryLimits(attempts: .max, timeout: .seconds(3))
            let error = try await #require(throws: RetryError.self) {
                try await cluster.withTransaction(retrying: limits) { tx in
                    throw DatabaseError(
                        code: .connectionLost,
                        message: "lost",
                        host: tx.host,
                        phase: .sending,
                        outcome: .notSent
                    )
                }
            }
            #expect(error.code == .timedOut && error.attempts > 1)
            await cluster.close()
        }

        @Test func aStatementDoesNotOutlastTheTimeOfTheWhole() async throws {
            try await cluster.ready(timeout: .seconds(120))
            let limits = RetryLimits(timeout: .seconds(5))
            let error = await #expect(throws: DatabaseError.self) {
                try await cluster.withTransaction(retrying: limits) { try await $0.execute("SELECT pg_sleep(60)") }
            }
            #expect(error?.code == .timedOut && error?.outcome == .failed)
            await cluster.close()
        }

        @Test func cancellationEndsItBetweenTwoRuns() async throws {
            let limits = RetryLimits(timeout: nil, firstPause: .seconds(6000), longestPause: .seconds(6000))
            let runs = Runs()
            let task = Task {
                try await cluster.withTransaction(retrying: limits) { tx in
                    runs.next()
                    try await tx.execute(Self.suicide)
                }
            }
            try await eventually("it has run") {
                runs.count == 1 && cluster.snapshot().primaries.first?.pool.leased == 0
            }
            task.cancel()
            let error = try await #require(throws: RetryError.self) { try await task.value }
            #expect(error.code == .cancelled && error.attempts == 1)
            await cluster.close()
        }

        @Test func cancellationEndsItWithinARun() async throws {
            let runs = Runs()
            let task = Task {
                try await cluster.withTransaction { tx in
                    runs.next()
                    try await tx.execute("SELECT pg_sleep(60)")
                }
            }
            try await eventually("it runs") { runs.count == 1 }
            task.cancel()
            let error = await #expect(throws: DatabaseError.self) { try await task.value }
            #expect(error?.code == .cancelled)
            #expect(runs.count == 1)
            await cluster.close()
        }
    }
}

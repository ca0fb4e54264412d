// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// What the next user of a session finds.
    @Suite struct RecyclingTests {
        private static let methods = [
            RecyclingMethod.fast, .verified, .clean, .custom("DISCARD ALL"),
        ]

        /// A pool of one connection.
        private static func withOne(
            _ recycling: RecyclingMethod,
            parameters: [String: String] = [:],
            session: SessionOptions = SessionOptions(),
            _ body: (DatabasePool) async throws -> Void
        ) async throws {
            let node = try await SharedServers.get().primary
            let pool = try DatabasePool(
                node.dsn(parameters: parameters),
                configuration: PoolConfiguration(maximumSize: 1),
                session: session,
                recycling: recycling
            )
            try await withPool(pool, body)
        }

        @Test(arguments: methods)
        func anOpenTransactionIsRolledBackAndTheConnectionKept(_ method: RecyclingMethod) async throws {
            try await Self.withOne(method) { pool in
                let first = try await pool.withConnection { db in
                    try await db.execute("BEGIN")
                    try await db.execute("CREATE TABLE never_there ()")
                    return db.backendPID
                }
                try await pool.withConnection { db in
                    #expect(db.backendPID == first)
                    #expect(db.transactionStatus == .idle)
                    let isThere: Bool = try await db.queryValue("SELECT to_regclass('never_there') IS NOT NULL")
                    #expect(!isThere)
                }
            }
        }

        @Test(arguments: methods)
        func aFailedTransactionIsRolledBackAndTheConnectionKept(_ method: RecyclingMethod) async throws {
            try await Self.withOne(method) { pool in
                let first = try await pool.withConnection { db in
                    try await db.execute("BEGIN")
                    await #expect(throws: DatabaseError.self) { try await db.query("SELECT 1 / 0") }
                    #expect(db.transactionStatus == .inFailedTransaction)
                    return db.backendPID
                }
                try await pool.withConnection { db in
                    #expect(db.backendPID == first)
                    let one: Int = try await db.queryValue("SELECT 1")
                    #expect(one == 1)
                }
            }
        }

        @Test(arguments: methods)
        func aRunningStatementOrACopyNeverReachesTheNextUser(_ method: RecyclingMethod) async throws {
            try await Self.withOne(method) { pool in
                let (first, sleeping) = try await pool.withConnection { db in
                    let sleeping = Task { try await db.query("SELECT pg_sleep(600)") }
                    try await eventually("it runs") { db.transactionStatus == .active }
                    return (db.backendPID, sleeping)
                }
                await #expect(throws: DatabaseError.self) { try await sleeping.value }
                let second = try await pool.withConnection { db in
                    await #expect(throws: DatabaseError.self) { try await db.execute("COPY (SELECT 1) TO STDOUT") }
                    return db.backendPID
                }
                #expect(second != first)
                try await pool.withConnection { db in
                    #expect(db.backendPID != second)
                    let one: Int = try await db.queryValue("SELECT 1")
                    #expect(one == 1)
                }
            }
        }

        /// What one user leaves, and a question for each part of it that says whether it is there.
        private static let traces = [
            ("SET work_mem = '77MB'", "SELECT current_setting('work_mem') = '77MB'"),
            ("LISTEN news", "SELECT EXISTS (SELECT FROM pg_listening_channels())"),
            ("CREATE TEMP TABLE scratch (id int)", "SELECT to_regclass('pg_temp.scratch') IS NOT NULL"),
            (
                "SELECT pg_advisory_lock(4711)",
                "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
            ),
            ("PREPARE mine AS SELECT 1", "SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE from_sql)"),
            (
                "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
                "SELECT EXISTS (SELECT FROM pg_cursors WHERE name = 'held')"
            ),
            ("SET application_name = 'the last user'", "SELECT current_setting('application_name') = 'the last user'"),
            ("SET TimeZone = 'Europe/Berlin'", "SELECT current_setting('TimeZone') = 'Europe/Berlin'"),
            ("SET ROLE pg_monitor", "SELECT current_user = 'pg_monitor'"),
            ("SET SESSION AUTHORIZATION pg_monitor", "SELECT session_user = 'pg_monitor'"),
        ]

        private static func leaveTraces(_ db: DatabaseSession) async throws {
            for (trace, question) in traces {
                try await db.executeScript(trace)
                let isThere: Bool = try await db.queryValue(SQL(raw: question))
                #expect(isThere, "\(trace)")
            }
        }

        private static func found(_ db: DatabaseSession) async throws -> [String] {
            var found: [String] = []
            for (trace, question) in traces {
                let isThere: Bool = try await db.queryValue(SQL(raw: question))
                if isThere { found.append(trace) }
            }
            return found
        }

        @Test func withoutResettingTheNextUserFindsWhatTheLastOneLeft() async throws {
            for method in [RecyclingMethod.fast, .verified] {
                try await Self.withOne(method) { pool in
                    try await pool.withConnection { try await Self.leaveTraces($0) }
                    let found = try await pool.withConnection { try await Self.found($0) }
                    // The two users cannot both be there.
                    #expect(found.count >= Self.traces.count - 1)
                }
            }
        }

        @Test func afterAResetTheNextUserFindsNothingOfTheLastOne() async throws {
            let session = SessionOptions(timeZone: "Asia/Tokyo")
            for method in [RecyclingMethod.clean, .custom("DISCARD ALL")] {
                // Dates are to be in ISO style whatever the session starts with.
                let parameters = ["application_name": "recycled", "options": "-c DateStyle=German"]
                try await Self.withOne(method, parameters: parameters, session: session) { pool in
                    let first = try await pool.withConnection { db in
                        try await Self.leaveTraces(db)
                        return db.backendPID
                    }
                    try await pool.withConnection { db in
                        #expect(db.backendPID == first)
                        let found = try await Self.found(db)
                        #expect(found == [])
                        for (setting, value) in [
                            ("application_name", "recycled"), ("TimeZone", "Asia/Tokyo"), ("client_encoding", "UTF8"),
                        ] {
                            let now: String = try await db.queryValue("SELECT current_setting(\(setting))")
                            #expect(now == value)
                        }
                        let style: String = try await db.queryValue("SELECT current_setting('DateStyle')")
                        #expect(style.hasPrefix("ISO"))
                        let user: String = try await db.queryValue("SELECT session_user::text")
                        #expect(user == "postgres")
                    }
                }
            }
        }

        @Test func aResetInAFailedTransactionLeavesNothingEither() async throws {
            try await Self.withOne(.clean) { pool in
                try await pool.withConnection { db in
                    try await Self.leaveTraces(db)
                    try await db.execute("BEGIN")
                    await #expect(throws: DatabaseError.self) { try await db.query("SELECT 1 / 0") }
                }
                let found = try await pool.withConnection { try await Self.found($0) }
                #expect(found == [])
            }
        }

        @Test func preparedStatementsOfTheDriverSurviveAReset() async throws {
            let count: SQL = "SELECT count(*)::int FROM pg_prepared_statements"
            try await Self.withOne(.clean) { pool in
                for _ in 0..<3 { _ = try await pool.query("SELECT \(1)::int") }
                let prepared: Int = try await pool.withConnection { try await $0.queryValue(count) }
                #expect(prepared == 1)
            }
            // These are dropped, and prepared anew without anybody noticing.
            try await Self.withOne(.custom("DISCARD ALL")) { pool in
                for _ in 0..<5 {
                    for _ in 0..<3 { _ = try await pool.query("SELECT \(1)::int") }
                }
                let prepared: Int = try await pool.withConnection { try await $0.queryValue(count) }
                #expect(prepared == 0)
            }
        }

        @Test func aSessionIsResetAfterEachUseInWhichSomethingRanAndOnlyThen() async throws {
            let node = try await SharedServers.get().primary
            try await node.query("CREATE SEQUENCE IF NOT EXISTS resets")
            try await node.query("SELECT setval('resets', 1)")
            try await Self.withOne(.custom("SELECT nextval('resets')")) { pool in
                try await pool.withConnection { _ in }
                try await pool.execute("SELECT 1")
                try await pool.withConnection { _ in }
                try await pool.execute("SELECT 1")
                let last: Int = try await pool.withConnection {
                    try await $0.queryValue("SELECT last_value::int FROM resets")
                }
                #expect(last == 3)
            }
        }

        @Test(arguments: ["SELECT 1 / 0", "BEGIN", "COPY (SELECT 1) TO STDOUT"])
        func aResetThatFailsClosesTheConnection(_ reset: String) async throws {
            try await Self.withOne(.custom(reset)) { pool in
                var seen: Set<Int32> = []
                for _ in 0..<3 {
                    seen.insert(
                        try await pool.withConnection { db in
                            try await db.execute("SELECT 1")
                            #expect(db.transactionStatus == .idle)
                            return db.backendPID
                        }
                    )
                }
                #expect(seen.count == 3)
            }
        }

        @Test func theTimeForAResetIsLimited() async throws {
            let node = try await SharedServers.get().primary
            let pool = try DatabasePool(
                node.dsn(),
                configuration: PoolConfiguration(maximumSize: 1, workTimeout: .milliseconds(200)),
                recycling: .custom("SELECT pg_sleep(600)")
            )
            try await withPool(pool) { pool in
                let first = try await pool.withConnection { db in
                    try await db.execute("SELECT 1")
                    return db.backendPID
                }
                #expect(try await pool.withConnection { $0.backendPID } != first)
            }
        }

        @Test func aStandbysSessionsAreResetToo() async throws {
            let node = try await SharedServers.get().replicas[0]
            let pool = try DatabasePool(
                node.dsn(),
                configuration: PoolConfiguration(maximumSize: 1),
                recycling: .clean
            )
            try await withPool(pool) { pool in
                let first = try await pool.withConnection { db in
                    try await db.execute("SET work_mem = '77MB'")
                    return db.backendPID
                }
                try await pool.withConnection { db in
                    #expect(db.backendPID == first)
                    let memory: String = try await db.queryValue("SELECT current_setting('work_mem')")
                    #expect(memory != "77MB")
                }
            }
        }

        @Test func aClustersSessionsAreRecycledToo() async throws {
            let servers = try await SharedServers.get()
            let cluster = try PostgresCluster(
                servers.dsn(),
                configuration: ClusterConfiguration(pool: PoolConfiguration(maximumSize: 1)),
                recycling: .clean
            )
            let first = try await cluster.write { db in
                try await Self.leaveTraces(db)
                try await db.execute("BEGIN")
                return db.backendPID
            }
            try await cluster.write { db in
                #expect(db.backendPID == first)
                #expect(db.transactionStatus == .idle)
                let found = try await Self.found(db)
                #expect(found == [])
            }
            try await cluster.read { db in try await db.execute("BEGIN") }
            try await cluster.read { db in #expect(db.transactionStatus == .idle) }
            await cluster.close()
        }

        @Test func aTasksOwnSessionKeepsItsStateButNoTransaction() async throws {
            let node = try await SharedServers.get().primary
            let pool = try PersonalDatabasePool(node.dsn())
            try await pool.withTaskLifetime {
                try await pool.withConnection { db in
                    try await db.execute("CREATE TEMP TABLE mine (id int)")
                    try await db.execute("BEGIN")
                }
                try await pool.withConnection { db in
                    #expect(db.transactionStatus == .idle)
                    let count: Int = try await db.queryValue("SELECT count(*)::int FROM mine")
                    #expect(count == 0)
                }
            }
            await pool.close()
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Logging
import Posthouse
import PosthouseReactor
import PosthouseTestKit
import Synchronization
import Testing

extension RealServers {
    /// A lone pool, made either way.
    @Suite struct DatabasePoolTests {
        private static let name = "lone_pool"

        private static func node() async throws -> LocalNode { try await SharedServers.get().primary }

        private static func dsn() async throws -> String {
            try await node().dsn(parameters: ["application_name": name])
        }

        private static func pool(
            _ maximumSize: Int = 2,
            logger: Logger? = nil
        ) async throws -> DatabasePool {
            let configuration = PoolConfiguration(maximumSize: maximumSize, name: name)
            return try DatabasePool(await dsn(), configuration: configuration, logger: logger)
        }

        /// The backend of an idle connection, if there is one.
        private static func takes(from pool: DatabasePool) throws -> Int32? {
            guard let lease = try pool.tryAcquire() else { return nil }
            let pid = lease.session.backendPID
            try lease.release()
            return pid
        }

        /// Opens a connection as a callback would.
        private static func connect() async throws -> DatabaseConnection {
            let parameters = try ConnectionParameters(await dsn())
            return try await DatabaseConnection.connect(
                to: parameters.hosts[0],
                parameters: parameters,
                loop: try EventLoopGroup.shared.next(),
                deadline: .now + .seconds(60)
            )
        }

        private static func terminateSessions() async throws {
            try await node().query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '\(name)'"
            )
        }

        private static func nothingIsLeft() async throws {
            let node = try await node()
            try await eventually("no session is left") {
                try await node.value(
                    of: "SELECT count(*) FROM pg_stat_activity WHERE application_name = '\(name)'"
                ) == "0"
            }
        }

        private struct CallbackError: Error, Equatable {}

        @Test func aPoolFromAConnectionStringRunsStatements() async throws {
            let pool = try await Self.pool()
            #expect(try await pool.execute("CREATE TEMP TABLE t (id int)") == 0)
            let ids = try await pool.query("SELECT generate_series(1, \(3))").decode(Int.self)
            #expect(ids == [1, 2, 3])
            let pid = try await pool.withConnection { $0.backendPID }
            #expect(try await pool.withConnection(deadline: .now + .seconds(60)) { $0.backendPID } == pid)
            #expect(pool.status().size == 1)
            let leased = try await pool.acquire()
            #expect(pool.status().leased == 1)
            #expect(try Self.takes(from: pool) == nil)
            try leased.release()
            #expect(try Self.takes(from: pool) == pid)
            await pool.close()
            try await Self.nothingIsLeft()
        }

        @Test func aCallbackIsCalledOncePerPhysicalConnectionNeverOnReuse() async throws {
            let calls = Atomic<Int>(0)
            let pool = try DatabasePool(configuration: PoolConfiguration(maximumSize: 2)) {
                Self.count(calls)
                return try await Self.connect()
            }
            for _ in 0..<20 { try await pool.execute("SELECT 1") }
            #expect(calls.load(ordering: .relaxed) == 1)
            let one = try await pool.acquire()
            let two = try await pool.acquire()
            #expect(calls.load(ordering: .relaxed) == 2)
            try one.release()
            try two.release()
            pool.expire()
            try await pool.execute("SELECT 1")
            #expect(calls.load(ordering: .relaxed) == 3)
            await pool.close()
            try await Self.nothingIsLeft()
        }

        @Test func aCallbacksErrorReachesTheCallerThatAskedForTheConnection() async throws {
            let calls = Atomic<Int>(0)
            let pool = try DatabasePool {
                if Self.count(calls) == 1 { throw CallbackError() }
                return try await Self.connect()
            }
            let error = await #expect(throws: PoolError.self) { try await pool.execute("SELECT 1") }
            #expect(error?.code == .connectFailed)
            #expect(error?.underlying as? CallbackError == CallbackError())
            try await pool.execute("SELECT 1")
            await pool.close()
        }

        @discardableResult
        private static func count(_ calls: borrowing Atomic<Int>) -> Int {
            calls.wrappingAdd(1, ordering: .relaxed).newValue
        }

        @Test func aCallbackThatReturnsWhatCannotBePooledIsToldSo() async throws {
            let connection = try await Self.connect()
            let same = try DatabasePool { connection }
            let lease = try await same.acquire()
            let error = await #expect(throws: PoolError.self) {
                try await same.withConnection { _ in }
            }
            #expect((error?.underlying as? PoolError)?.code == .invalidConfiguration)
            _ = try await lease.session.query("SELECT 1")
            try lease.release()
            await same.close()

            let inTransaction = try DatabasePool {
                let connection = try await Self.connect()
                try await connection.execute("BEGIN")
                return connection
            }
            let other = await #expect(throws: PoolError.self) { try await inTransaction.withConnection { _ in } }
            #expect((other?.underlying as? PoolError)?.code == .invalidConfiguration)
            await inTransaction.close()
            try await Self.nothingIsLeft()
        }

        @Test func credentialsAreLookedUpOncePerPhysicalConnection() async throws {
            let configuration = LocalCluster.Configuration(
                hostBasedAuthentication: ["host all alice 127.0.0.1/32 scram-sha-256"],
                setUp: ["CREATE ROLE alice LOGIN PASSWORD 'token-1'"]
            )
            try await LocalCluster.withCluster(configuration) { servers in
                let token = Mutex<(text: String, lookUps: Int)>(("token-1", 0))
                let pool = try DatabasePool(
                    servers.primary.dsn(user: "somebody"),
                    credentials: {
                        let text = token.withLock { token in
                            token.lookUps += 1
                            return token.text
                        }
                        if text.isEmpty { throw CallbackError() }
                        return DatabaseCredentials(username: "alice", password: text)
                    }
                )
                for _ in 0..<5 {
                    let user: String = try await pool.withConnection {
                        try await $0.queryValue("SELECT current_user::text")
                    }
                    #expect(user == "alice")
                }
                #expect(token.withLock { $0.lookUps } == 1)
                try await servers.primary.query("ALTER ROLE alice PASSWORD 'token-2'")
                token.withLock { $0.text = "token-2" }
                pool.expire()
                try await pool.execute("SELECT 1")
                #expect(token.withLock { $0.lookUps } == 2)

                token.withLock { $0.text = "wrong" }
                pool.expire()
                let refused = await #expect(throws: PoolError.self) { try await pool.execute("SELECT 1") }
                #expect((refused?.underlying as? DatabaseError)?.sqlState == "28P01")
                #expect(refused.map { !"\($0)".contains("wrong") } == true)
                token.withLock { $0.text = "" }
                let failed = await #expect(throws: PoolError.self) { try await pool.execute("SELECT 1") }
                #expect(failed?.underlying as? CallbackError == CallbackError())
                await pool.close()

                token.withLock { $0.text = "token-2" }
                let cluster = try PostgresCluster(
                    servers.dsn(user: "somebody"),
                    credentials: { DatabaseCredentials(username: "alice", password: "token-2") }
                )
                let user: String = try await cluster.write { try await $0.queryValue("SELECT current_user::text") }
                #expect(user == "alice")
                await cluster.close()
            }
        }

        @Test func aHandleThatEscapedIsWorthless() async throws {
            let pool = try await Self.pool(1)
            let escaped = try await pool.withConnection { $0 }
            let error = await #expect(throws: DatabaseError.self) { try await escaped.query("SELECT 1") }
            #expect(error?.code == .leaseExpired)
            #expect(error?.outcome == .notSent)
            let lease = try await pool.acquire()
            let session = lease.session
            try lease.release()
            try await pool.withConnection { _ in
                let error = await #expect(throws: DatabaseError.self) { try await session.query("SELECT 1") }
                #expect(error?.code == .leaseExpired)
            }
            await pool.close()
        }

        @Test func whatIsNotAtRestNeverGoesToTheNextUser() async throws {
            let pool = try await Self.pool(1)
            let first = try await pool.withConnection { db in
                try await db.execute("BEGIN")
                return db.backendPID
            }
            let second = try await pool.withConnection { db in
                #expect(db.transactionStatus == .idle)
                await #expect(throws: DatabaseError.self) { try await db.execute("COPY (SELECT 1) TO STDOUT") }
                return db.backendPID
            }
            #expect(second == first)
            let (third, sleeping) = try await pool.withConnection { db in
                let sleeping = Task { try await db.query("SELECT pg_sleep(600)") }
                try await eventually("it runs") { db.transactionStatus == .active }
                return (db.backendPID, sleeping)
            }
            #expect(third != second)
            await #expect(throws: DatabaseError.self) { try await sleeping.value }
            try await pool.withConnection { db in
                #expect(db.backendPID != third)
                let one: Int = try await db.queryValue("SELECT 1")
                #expect(one == 1)
            }
            await pool.close()
            try await Self.nothingIsLeft()
        }

        @Test func aServerThatHangsUpOnIdleConnectionsIsNoticedAtOnce() async throws {
            let byCallback = try DatabasePool { try await Self.connect() }
            for pool in [try await Self.pool(), byCallback] {
                try await pool.execute("SELECT 1")
                #expect(pool.status().size == 1)
                try await Self.terminateSessions()
                // Nobody asks for it meanwhile.
                try await eventually("it is gone") { pool.status().size == 0 }
                try await pool.execute("SELECT 1")
                await pool.close()
            }
            try await Self.nothingIsLeft()
        }

        @Test func aPoolCanBeResizedAndTerminated() async throws {
            let pool = try await Self.pool(2)
            let one = try await pool.acquire()
            let two = try await pool.acquire()
            try two.release()
            try pool.resize(maximumSize: 1)
            #expect(pool.status().size == 1)
            let error = #expect(throws: PoolError.self) { try pool.resize(maximumSize: 0) }
            #expect(error?.code == .invalidConfiguration)
            pool.terminate()
            #expect(pool.isClosed)
            let denied = await #expect(throws: DatabaseError.self) { try await one.session.query("SELECT 1") }
            #expect(denied?.code == .terminated)
            try one.release()
            let closed = await #expect(throws: PoolError.self) { try await pool.execute("SELECT 1") }
            #expect(closed?.code == .closed)
            try await Self.nothingIsLeft()
        }

        @Test func ofSeveralHostsTheFirstThatIsWhatIsAskedForServes() async throws {
            let servers = try await SharedServers.get()
            for (wanted, isStandby) in [
                ("read-write", false), ("primary", false), ("standby", true), ("prefer-standby", true),
            ] {
                let pool = try DatabasePool(servers.dsn(parameters: ["target_session_attrs": wanted]))
                let answer: Bool = try await pool.withConnection {
                    try await $0.queryValue("SELECT pg_is_in_recovery()")
                }
                #expect(answer == isStandby, "\(wanted)")
                await pool.close()
            }
            let wrong = try DatabasePool(servers.primary.dsn(parameters: ["target_session_attrs": "standby"]))
            let error = await #expect(throws: PoolError.self) { try await wrong.execute("SELECT 1") }
            #expect((error?.underlying as? DatabaseError)?.code == .unsuitableServer)
            await wrong.close()
        }

        @Test func everyConnectionIsClosedAtTheEndOfTheScope() async throws {
            let first = try await Self.pool(3)
            try await withPool(first) { pool in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<3 { group.addTask { try await pool.execute("SELECT pg_sleep(0.05)") } }
                    try await group.waitForAll()
                }
                #expect(pool.status().size == 3)
            }
            try await Self.nothingIsLeft()
            let second = try await Self.pool()
            await #expect(throws: CallbackError.self) {
                try await withPool(second) { pool in
                    try await pool.execute("SELECT 1")
                    throw CallbackError()
                }
            }
            try await Self.nothingIsLeft()
        }

        @Test func acquireReleaseAndCloseAreLoggedAtTheDebugLevel() async throws {
            let recorder = LogRecorder()
            let pool = try await Self.pool(1, logger: recorder.logger(.debug))
            try await pool.withConnection { _ in }
            do { _ = try await pool.acquire() }
            await #expect(throws: CallbackError.self) { try await pool.withConnection { _ in throw CallbackError() } }
            await pool.close()
            let round = ["debug connection acquired", "debug connection released"]
            #expect(recorder.messages.filter(round.contains) == round + round + round)
            // These are told by who did it, maybe a little after the others went on.
            for message in ["debug connection opened", "debug connection closed", "debug pool closed"] {
                try await eventually("\(message) is logged") { recorder.messages.count { $0 == message } == 1 }
            }
            #expect(recorder.messages.count == 9)
            let quiet = LogRecorder()
            let silent = try await Self.pool(1, logger: quiet.logger(.info))
            try await withPool(silent) { pool in
                try await pool.withConnection { _ in }
            }
            #expect(quiet.messages == [])

            let personal = LogRecorder()
            let own = try PersonalDatabasePool(await Self.dsn(), logger: personal.logger(.debug))
            try await own.withConnection { _ in }
            await own.close()
            #expect(personal.messages.filter(round.contains) == round)
            for message in ["debug connection opened", "debug connection closed", "debug pool closed"] {
                try await eventually("\(message) is logged") { personal.messages.count { $0 == message } == 1 }
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import PosthouseReactor
import PosthouseTestKit
import Testing

extension RealServers {
    /// The pools that nobody passes around, of both kinds. They are the process's, so these tests run one after the other.
    @Suite struct SharedDatabasePoolTests {
        private static let name = "shared_pool"

        private static func dsn() async throws -> String {
            try await SharedServers.get().primary.dsn(parameters: ["application_name": name])
        }

        private static func sessionsAreLeft(_ count: Int) async throws {
            let node = try await SharedServers.get().primary
            try await eventually("\(count) sessions are left") {
                try await node.value(
                    of: "SELECT count(*) FROM pg_stat_activity WHERE application_name = '\(name)'"
                ) == "\(count)"
            }
        }

        @Test func theSharedPoolIsThereFromInitializeToClose() async throws {
            let before = #expect(throws: PoolError.self) { try DatabasePool.instance() }
            #expect(before?.code == .notInitialized)
            #expect(before?.message.contains("DatabasePool.initialize") == true)

            let first = try DatabasePool.initialize(await Self.dsn())
            #expect(try DatabasePool.instance() === first)
            let lease = try await DatabasePool.instance().acquire()

            let second = try DatabasePool.initialize(ConnectionParameters(await Self.dsn()))
            #expect(try DatabasePool.instance() === second)
            try await eventually("the old one is closed") { first.isClosed }
            // The old one's lease finishes.
            _ = try await lease.session.query("SELECT 1")
            try lease.release()
            try await Self.sessionsAreLeft(0)

            let parameters = try ConnectionParameters(await Self.dsn())
            try DatabasePool.initialize {
                try await DatabaseConnection.connect(
                    to: parameters.hosts[0],
                    parameters: parameters,
                    loop: try EventLoopGroup.shared.next(),
                    deadline: .now + .seconds(60)
                )
            }
            try await DatabasePool.instance().execute("SELECT 1")
            try await Self.sessionsAreLeft(1)
            await DatabasePool.shared.close()
            try await Self.sessionsAreLeft(0)
            let after = #expect(throws: PoolError.self) { try DatabasePool.instance() }
            #expect(after?.code == .notInitialized)
        }

        @Test func theSharedPoolIsClosedWhenTheServiceShutsDown() async throws {
            let service = Task { await DatabasePool.shared.run() }
            try DatabasePool.initialize(await Self.dsn())
            try await DatabasePool.instance().execute("SELECT 1")
            service.cancel()
            await service.value
            try await Self.sessionsAreLeft(0)
            #expect(throws: PoolError.self) { try DatabasePool.instance() }
        }

        // The example of README.md.
        @Test func connectedFunctionsFindTheirConnectionWhenTheyAreCalled() async throws {
            let rename = connected { (db, id: Int, name: String) in
                try await db.execute("UPDATE renamed SET name = \(name) WHERE id = \(id)")
            }
            let name = connected(at: .last) { (id: Int, db) -> String in
                try await db.queryValue("SELECT name FROM renamed WHERE id = \(id)")
            }
            let error = await #expect(throws: PoolError.self) { try await rename(7, "lamp") }
            #expect(error?.code == .notInitialized)

            try DatabasePool.initialize(await Self.dsn())
            try await DatabasePool.instance().execute("CREATE TABLE renamed AS SELECT 7 AS id, 'candle' AS name")
            #expect(try await rename(7, "lamp") == 1)
            #expect(try await name(7) == "lamp")
            let missing = await #expect(throws: DatabaseError.self) { try await name(8) }
            #expect(missing?.code == .unexpectedRowCount)
            #expect(try DatabasePool.instance().status().leased == 0)

            try DatabasePool.initialize(await Self.dsn())
            #expect(try await name(7) == "lamp")
            try await DatabasePool.instance().execute("DROP TABLE renamed")
            await DatabasePool.shared.close()
            try await Self.sessionsAreLeft(0)
        }

        // MARK: - One for each task and thread

        @Test func aTaskKeepsItsSessionAndAChildHasItsOwn() async throws {
            let pool = try PersonalDatabasePool.initialize(await Self.dsn())
            let pids = try await pool.withTaskLifetime {
                let first = try await pool.withConnection { outer in
                    try await outer.execute("CREATE TEMP TABLE mine (id int)")
                    let inner = try await PersonalDatabasePool.instance().withConnection { $0.backendPID }
                    #expect(inner == outer.backendPID)
                    // The inner scope has closed nothing.
                    try await outer.execute("INSERT INTO mine VALUES (1)")
                    async let child = pool.withConnection { $0.backendPID }
                    let pid = try await child
                    #expect(pid != outer.backendPID)
                    return outer.backendPID
                }
                let count: Int = try await pool.withConnection { try await $0.queryValue("SELECT count(*) FROM mine") }
                #expect(count == 1)
                return [first, try await pool.withConnection { $0.backendPID }]
            }
            #expect(pids[0] == pids[1])
            // The task's at once, the child's a little later.
            try await Self.sessionsAreLeft(0)
            await PersonalDatabasePool.shared.close()
            #expect(throws: PoolError.self) { try PersonalDatabasePool.instance() }
        }

        @Test func anOpenTransactionEndsWithTheOutermostScope() async throws {
            let pool = try PersonalDatabasePool(await Self.dsn())
            let escaped = try await pool.withConnection { outer in
                try await outer.execute("BEGIN")
                return try await pool.withConnection { inner in
                    #expect(inner.transactionStatus == .inTransaction)
                    return inner
                }
            }
            try await pool.withConnection { db in
                #expect(db.transactionStatus == .idle)
                #expect(db.backendPID == escaped.backendPID)
            }
            let error = await #expect(throws: DatabaseError.self) { try await escaped.query("SELECT 1") }
            #expect(error?.code == .leaseExpired)
            await pool.close()
            try await Self.sessionsAreLeft(0)
        }

        @Test func aThreadKeepsItsSessionUntilItEnds() async throws {
            let pool = try PersonalDatabasePool(await Self.dsn())
            let pids = try await withThrowingTaskGroup(of: Int32.self) { group in
                for _ in 0..<4 { group.addTask { try await Self.onThread { try Self.use(pool) } } }
                return try await group.reduce(into: Set<Int32>()) { $0.insert($1) }
            }
            #expect(pids.count == 4)
            try await Self.sessionsAreLeft(0)
            let error = #expect(throws: PoolError.self) { try pool.withThreadConnection { _ in } }
            #expect(error?.code == .insideTask)
            await pool.close()
        }

        private static func use(_ pool: PersonalDatabasePool) throws -> Int32 {
            let first = try pool.withThreadConnection { db in
                try db.execute("CREATE TEMP TABLE mine (id int)")
                try pool.withThreadConnection { try $0.execute("INSERT INTO mine VALUES (\(1)), (\(2))") }
                try db.run { db in
                    try await db.withTransaction { tx in _ = try await tx.execute("DELETE FROM mine WHERE id = 1") }
                }
                #expect(throws: DatabaseError.self) { try db.query("SELECT nothing") }
                return db.session.backendPID
            }
            return try pool.withThreadConnection { db in
                let id: Int = try db.queryValue("SELECT id FROM mine")
                #expect(id == 2)
                #expect(db.session.backendPID == first)
                return first
            }
        }

        private static func onThread<Result: Sendable>(
            _ body: @escaping @Sendable () throws -> Result
        ) async throws -> Result {
            try await withCheckedThrowingContinuation { continuation in
                Thread { continuation.resume(with: Swift.Result { try body() }) }.start()
            }
        }
    }
}

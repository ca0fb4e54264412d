// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// A pool with PgBouncer between it and the server.
    @Suite struct PgBouncerTests {
        private static let modes = [LocalPgBouncer.Mode.session, .transaction]

        private static func withBouncer(
            _ mode: LocalPgBouncer.Mode,
            _ body: (LocalPgBouncer) async throws -> Void
        ) async throws {
            let servers = try await SharedServers.get()
            let bouncer = try await LocalPgBouncer.start(in: servers, to: servers.primary, mode: mode)
            do {
                try await body(bouncer)
            } catch {
                try? await bouncer.kill()
                throw error
            }
            try await bouncer.kill()
        }

        private static func pool(
            _ bouncer: LocalPgBouncer,
            _ maximumSize: Int,
            recycling: RecyclingMethod = .fast
        ) throws -> DatabasePool {
            try DatabasePool(
                bouncer.dsn(),
                configuration: PoolConfiguration(maximumSize: maximumSize),
                // A statement that is prepared in one transaction may be unknown in the next.
                session: SessionOptions(statementCacheSize: 0),
                recycling: recycling
            )
        }

        @Test(arguments: modes)
        func aPoolRunsStatementsAndTransactions(_ mode: LocalPgBouncer.Mode) async throws {
            try await Self.withBouncer(mode) { bouncer in
                let pool = try Self.pool(bouncer, 3)
                let callers = Callers(8) { round in
                    try await pool.withConnection { db in
                        let echo: Int = try await db.queryValue("SELECT \(round)::int")
                        #expect(echo == round)
                        try await db.withTransaction { tx in
                            let again: Int = try await tx.queryValue("SELECT \(round)::int")
                            #expect(again == round)
                        }
                    }
                }
                try await callers.serve(100)
                await callers.stop()
                #expect(callers.failed == 0)
                #expect(pool.status().size == 3)
                await pool.close()
            }
        }

        @Test(arguments: modes)
        func aCancelledStatementCostsItsConnectionAndNoPlace(_ mode: LocalPgBouncer.Mode) async throws {
            try await Self.withBouncer(mode) { bouncer in
                let pool = try Self.pool(bouncer, 2)
                for _ in 0..<5 {
                    let sleeping = Task { try await pool.execute("SELECT pg_sleep(600)") }
                    try await eventually("it runs") { pool.status().leased == 1 }
                    sleeping.cancel()
                    await #expect(throws: (any Error).self) { try await sleeping.value }
                    try await pool.execute("SELECT 1")
                }
                try await pool.servesAtOnce(2)
                await pool.close()
            }
        }

        @Test(arguments: modes)
        func anOpenTransactionIsRolledBackBeforeTheNextUser(_ mode: LocalPgBouncer.Mode) async throws {
            try await Self.withBouncer(mode) { bouncer in
                for method in [RecyclingMethod.fast, .verified, .clean] {
                    let pool = try Self.pool(bouncer, 1, recycling: method)
                    try await pool.withConnection { db in
                        try await db.execute("BEGIN")
                        try await db.execute("CREATE TABLE never_there ()")
                    }
                    try await pool.withConnection { db in
                        #expect(db.transactionStatus == .idle)
                        let isThere: Bool = try await db.queryValue("SELECT to_regclass('never_there') IS NOT NULL")
                        #expect(!isThere)
                    }
                    await pool.close()
                }
            }
        }

        @Test func inSessionModeAResetLeavesNothing() async throws {
            try await Self.withBouncer(.session) { bouncer in
                let pool = try Self.pool(bouncer, 1, recycling: .clean)
                try await pool.execute("SET work_mem = '77MB'")
                let memory: String = try await pool.withConnection {
                    try await $0.queryValue("SELECT current_setting('work_mem')")
                }
                #expect(memory != "77MB")
                await pool.close()
            }
        }

        @Test(arguments: modes)
        func aFailedLoginIsATypedErrorAndThePoolServesOn(_ mode: LocalPgBouncer.Mode) async throws {
            try await Self.withBouncer(mode) { bouncer in
                for dsn in [bouncer.dsn(user: "stranger"), bouncer.dsn(database: "nowhere")] {
                    let pool = try DatabasePool(dsn)
                    let error = await #expect(throws: PoolError.self) { try await pool.execute("SELECT 1") }
                    #expect(error?.code == .connectFailed)
                    let cause = error?.underlying as? DatabaseError
                    #expect(cause?.outcome == .notSent)
                    #expect(cause?.sqlState != nil)
                    #expect(pool.status().size == 0)
                    await pool.close()
                }
                let pool = try Self.pool(bouncer, 1)
                try await pool.execute("SELECT 1")
                await pool.close()
            }
        }

        @Test(arguments: modes)
        func aRestartIsSurvived(_ mode: LocalPgBouncer.Mode) async throws {
            try await Self.withBouncer(mode) { bouncer in
                let pool = try Self.pool(bouncer, 3)
                let callers = Callers(6) { _ in try await pool.execute("SELECT 1") }
                try await callers.serve(50)
                try await bouncer.kill()
                try await eventually("all connections are gone") { pool.status().size == 0 }
                try await bouncer.start()
                try await callers.serve(50)
                await callers.stop()
                #expect(callers.untyped == [])
                try await pool.servesAtOnce(3)
                await pool.close()
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import PosthousePostgres

/// A permit under the test's control, which counts how often it is asked.
private final class TestPermit: SendPermitIssuer {
    private let state = Mutex<(refusal: SendRefusal?, refusedCheck: Int?, checks: Int)>((nil, nil, 0))

    var checks: Int { state.withLock { $0.checks } }

    func refuse(_ code: DatabaseError.Code) {
        state.withLock { $0.refusal = SendRefusal(code: code, message: "no more") }
    }

    func refuseOnly(check number: Int) {
        state.withLock { $0.refusedCheck = number }
    }

    func check(_ stamp: SendPermit.Stamp) throws(SendRefusal) {
        let refusal: SendRefusal? = state.withLock { state in
            state.checks += 1
            if state.checks == state.refusedCheck { return SendRefusal(code: .leaseExpired, message: "not now") }
            return state.refusal
        }
        if let refusal { throw refusal }
    }
}

private struct Failure: Error {}

@Suite(.timeLimit(.minutes(20))) struct SessionTests {
    /// A session with an empty table of its own.
    private func withTable(_ body: (DatabaseSession) async throws -> Void) async throws {
        try await withConnection { connection in
            try await connection.execute("CREATE TEMPORARY TABLE t (i int CHECK (i > 0))")
            try await body(connection.session)
        }
    }

    private func values(_ db: DatabaseSession) async throws -> [Int] {
        try await db.query("SELECT i FROM t ORDER BY i").decode(Int.self)
    }

    // MARK: Permits

    @Test(arguments: [DatabaseError.Code.leaseExpired, .fenced])
    func aRefusedPermitSendsNothing(code: DatabaseError.Code) async throws {
        try await withConnection { connection in
            let permit = TestPermit()
            let db = DatabaseSession(connection: connection, permit: SendPermit(permit))
            _ = try await db.query("SELECT 1")
            permit.refuse(code)
            for attempt in 0..<4 {
                let error = try await databaseError {
                    switch attempt {
                    case 0: _ = try await db.query("SELECT 1")
                    case 1: _ = try await db.executeScript("SELECT 1")
                    case 2: _ = try await db.execute("SELECT 1")
                    default: try await db.withTransaction { _ in }
                    }
                }
                #expect(error.code == code && error.outcome == .notSent && error.message == "no more")
            }
            // It may be in other hands, and busy.
            async let theirs = connection.query("SELECT pg_sleep(0.2)")
            try await Task.sleep(for: .milliseconds(50))
            #expect(try await databaseError { try await db.query("SELECT 1") }.code == code)
            #expect(throws: DatabaseError.self) { try db.parameterStatus("TimeZone") }
            _ = try await theirs
            #expect(connection.isReusable, "nobody else's connection was touched")
        }
    }

    @Test func thePermitIsAskedBeforeEverySend() async throws {
        try await withConnection { connection in
            let permit = TestPermit()
            let db = DatabaseSession(connection: connection, permit: SendPermit(permit))
            // Before the connection is touched, and before each message: sent, prepared and sent, sent by name.
            for checks in [2, 5, 7] {
                _ = try await db.query("SELECT 1")
                #expect(permit.checks == checks)
            }
            try await db.withTransaction { tx in _ = try await tx.query("SELECT 1") }
            #expect(permit.checks == 13)
        }
    }

    @Test func aFenceInsideATransactionStopsItsCommit() async throws {
        try await withTable { session in
            let permit = TestPermit()
            let db = DatabaseSession(connection: session.connection, permit: SendPermit(permit))
            let error = try await databaseError {
                try await db.withTransaction { tx in
                    try await tx.execute("INSERT INTO t VALUES (1)")
                    permit.refuse(.fenced)
                }
            }
            #expect(error.code == .fenced && error.outcome == .notSent)
            #expect(!session.connection.isReusable, "its transaction is open: it must not be used again")
        }
    }

    @Test func aTransactionWhoseCommitWasNotSentIsRolledBack() async throws {
        try await withTable { session in
            let permit = TestPermit()
            // Two for BEGIN, two for INSERT, the second of COMMIT.
            permit.refuseOnly(check: 6)
            let db = DatabaseSession(connection: session.connection, permit: SendPermit(permit))
            let error = try await databaseError {
                try await db.withTransaction { try await $0.execute("INSERT INTO t VALUES (1)") }
            }
            #expect(error.outcome == .notSent)
            #expect(session.connection.isReusable)
            let left = try await values(session)
            #expect(left.isEmpty)
        }
    }

    // MARK: Statements

    @Test func oneRowAndOneValueAreExactlyOne() async throws {
        try await withTable { db in
            #expect(try await db.queryValue("SELECT count(*) FROM t") == 0)
            #expect(try await db.queryValue("SELECT NULL::int", as: Int?.self) == nil)
            #expect(try await db.queryOne("SELECT 1 AS a, 2 AS b")["b", as: Int.self] == 2)
            for sql in ["SELECT 1 WHERE false", "SELECT generate_series(1, 2)"] as [SQL] {
                let error = try await databaseError { try await db.queryValue(sql, as: Int.self) }
                #expect(error.code == .unexpectedRowCount && error.outcome == .completed)
            }
            #expect(try await db.execute("INSERT INTO t VALUES (1), (2)") == 2)
        }
    }

    @Test func theShortestLimitApplies() async throws {
        for kind in ["statement", "session", "scope"] {
            try await withConnection { connection in
                var db = connection.session
                db.timeout = kind == "session" ? .milliseconds(50) : .seconds(60)
                if kind == "scope" { db.deadline = .now + .milliseconds(50) }
                let limit: Duration? = kind == "statement" ? .milliseconds(50) : nil
                let error = try await databaseError { try await db.query("SELECT pg_sleep(60)", timeout: limit) }
                #expect(error.code == .timedOut)
            }
        }
    }

    @Test func aLongerLimitForOneStatementIsTaken() async throws {
        try await withConnection { connection in
            var db = connection.session
            db.timeout = .milliseconds(1)
            _ = try await db.query("SELECT pg_sleep(0.05)", timeout: .seconds(30))
        }
    }

    // MARK: Transactions

    @Test func aTransactionCommitsWhatItsScopeDid() async throws {
        try await withTable { db in
            let result = try await db.withTransaction { tx in
                #expect(tx.transactionStatus == .inTransaction)
                try await tx.execute("INSERT INTO t VALUES (1)")
                return 42
            }
            #expect(result == 42 && db.transactionStatus == .idle)
            #expect(try await values(db) == [1])
        }
    }

    @Test func aScopeThatThrowsIsRolledBack() async throws {
        try await withTable { db in
            await #expect(throws: Failure.self) {
                try await db.withTransaction { tx in
                    try await tx.execute("INSERT INTO t VALUES (1)")
                    throw Failure()
                }
            }
            let error = try await databaseError {
                try await db.withTransaction { tx in
                    try await tx.execute("INSERT INTO t VALUES (2)")
                    try await tx.execute("INSERT INTO t VALUES (-1)")
                }
            }
            #expect(error.sqlState == .checkViolation)
            #expect(try await values(db).isEmpty)
            #expect(db.connection.isReusable)
        }
    }

    @Test func aScopeThatSwallowedAnErrorIsNotTakenForCommitted() async throws {
        try await withTable { db in
            let error = try await databaseError {
                try await db.withTransaction { tx in
                    try await tx.execute("INSERT INTO t VALUES (1)")
                    _ = try? await tx.execute("INSERT INTO t VALUES (-1)")
                }
            }
            #expect(error.code == .commitRolledBack && error.outcome == .failed)
            #expect(try await values(db).isEmpty)
            #expect(db.connection.isReusable)
        }
    }

    @Test func aCommitThatTheServerRefusesFailed() async throws {
        try await withTable { db in
            try await db.execute("ALTER TABLE t ADD UNIQUE (i) DEFERRABLE INITIALLY DEFERRED")
            let error = try await databaseError {
                try await db.withTransaction { tx in try await tx.execute("INSERT INTO t VALUES (1), (1)") }
            }
            #expect(error.sqlState == .uniqueViolation && error.outcome == .failed)
            #expect(db.connection.isReusable)
        }
    }

    @Test func aNestedTransactionIsASavepoint() async throws {
        try await withTable { db in
            try await db.withTransaction { tx in
                try await tx.execute("INSERT INTO t VALUES (1)")
                await #expect(throws: Failure.self) {
                    try await tx.withTransaction { inner in
                        try await inner.execute("INSERT INTO t VALUES (2)")
                        throw Failure()
                    }
                }
                try await tx.withTransaction { inner in
                    try await inner.execute("INSERT INTO t VALUES (3)")
                    _ = try await databaseError {
                        try await inner.withTransaction { try await $0.execute("INSERT INTO t VALUES (-1)") }
                    }
                    try await inner.execute("INSERT INTO t VALUES (4)")
                }
                // An error swallowed inside a savepoint fails the savepoint, not the transaction.
                let error = try await databaseError {
                    try await tx.withTransaction { inner in _ = try? await inner.execute("INSERT INTO t VALUES (-1)") }
                }
                #expect(error.sqlState == .inFailedSQLTransaction)
                #expect(tx.transactionStatus == .inTransaction)
            }
            #expect(try await values(db) == [1, 3, 4])
        }
    }

    @Test func aTransactionBegunByHandIsJoinedBySavepoint() async throws {
        try await withTable { db in
            try await db.execute("BEGIN")
            try await db.withTransaction { try await $0.execute("INSERT INTO t VALUES (1)") }
            #expect(db.transactionStatus == .inTransaction)
            try await db.execute("ROLLBACK")
            #expect(try await values(db).isEmpty)
        }
    }

    @Test func theHandleEndsWithItsTransaction() async throws {
        try await withTable { db in
            let escaped = try await db.withTransaction { tx in
                let inner = try await tx.withTransaction { $0 }
                #expect(try await databaseError { try await inner.query("SELECT 1") }.code == .transactionEnded)
                return tx
            }
            let error = try await databaseError { try await escaped.query("SELECT 1") }
            #expect(error.code == .transactionEnded && error.outcome == .notSent)
            _ = try await db.query("SELECT 1")
        }
    }

    @Test func aTransactionEndedByHandIsAnError() async throws {
        try await withTable { db in
            let error = try await databaseError {
                try await db.withTransaction { try await $0.execute("COMMIT") }
            }
            #expect(error.code == .transactionEnded)
            #expect(db.connection.isReusable)
        }
    }

    @Test func optionsReachTheServer() async throws {
        try await withTable { db in
            try await db.withTransaction(isolation: .serializable, readOnly: true, deferrable: true) { tx in
                _ = try await tx.query("SELECT 1")
                #expect(try await tx.queryValue("SHOW transaction_isolation") == "serializable")
                #expect(try await tx.queryValue("SHOW transaction_read_only") == "on")
                #expect(try await tx.queryValue("SHOW transaction_deferrable") == "on")
                let error = try await databaseError { try await tx.withTransaction(readOnly: true) { _ in } }
                #expect(error.code == .invalidStatement)
            }
            let isolation: String = try await db.withTransaction(isolation: .repeatableRead, readOnly: false) { tx in
                try await tx.queryValue("SHOW transaction_isolation")
            }
            #expect(isolation == "repeatable read")
        }
    }

    @Test func aCancelledScopeIsRolledBackAndKeepsItsConnection() async throws {
        try await withTable { db in
            let task = Task {
                try await db.withTransaction { tx in
                    try await tx.execute("INSERT INTO t VALUES (1)")
                    withUnsafeCurrentTask { $0?.cancel() }
                    try Task.checkCancellation()
                }
            }
            let result = await task.result
            #expect(throws: CancellationError.self) { try result.get() }
            #expect(db.connection.isReusable)
            let left = try await values(db)
            #expect(left.isEmpty)
        }
    }

    @Test func aTaskCancelledAfterItsWorkStillCommits() async throws {
        try await withTable { db in
            let task = Task {
                try await db.withTransaction { tx in
                    try await tx.execute("INSERT INTO t VALUES (1)")
                    withUnsafeCurrentTask { $0?.cancel() }
                }
            }
            try await task.value
            #expect(try await values(db) == [1])
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseReactor
import PosthouseTestKit
import Testing

@testable import PosthousePostgres

/// What an error says of the fate of a statement, for each way in which it can be interrupted.
///
/// | the statement                        | is interrupted by                        | outcome                         |
/// |--------------------------------------|------------------------------------------|---------------------------------|
/// | any                                  | its session's end, before it is sent     | not sent                        |
/// |                                      | a fence, cancellation, a deadline before | not sent                        |
/// | is being prepared                    | its session's end, a fence               | not sent                        |
/// | INSERT by itself                     | a report of its session's end            | failed                          |
/// |                                      | `statement_timeout`                      | failed, the session lives       |
/// |                                      | fence, cancellation, deadline, crash     | may have run                    |
/// |                                      | its session's end, committed already     | may have run                    |
/// | CALL or DO by itself                 | an error                                 | may have run                    |
/// | any in a transaction or savepoint    | fence, cancellation, deadline, crash     | failed: nothing of it stays     |
/// |                                      | `idle_in_transaction_session_timeout`    | not sent (the COMMIT too)       |
/// | BEGIN                                | whatever                                 | failed                          |
/// | COMMIT                               | fence, deadline, crash, its session's end| commit outcome unknown          |
/// |                                      | cancellation                             | none: it goes on                |
/// |                                      | a serialization failure                  | failed                          |
/// | script without COMMIT                | fence                                    | may have run                    |
/// | script with COMMIT, wherever         | fence, its session's end, crash          | commit outcome unknown          |
/// |                                      | cancellation                             | none: it goes on                |
/// |                                      | an error before the COMMIT               | failed                          |
/// |                                      | an error behind the COMMIT               | may have run                    |
/// | script in a transaction              | fence                                    | failed; if it ends it: may have |
/// | any, through a pooler                | the pooler's loss of its server (08P01)  | may have run                    |
///
/// COMMIT is looked at in ``InterruptionTests`` too, a crash in ``CrashOutcomeTests``.
@Suite(.timeLimit(.minutes(20))) struct OutcomeTests {
    /// How a statement that runs is interrupted.
    enum Interruption: CaseIterable {
        case fence, cancellation, deadline, termination
    }

    private func onServer(_ sql: String) async throws {
        _ = try await TestServer.node.query(sql)
    }

    private func count(_ table: String) async throws -> Int {
        let node = try await TestServer.node
        return try await Int(node.value(of: "SELECT count(*) FROM \(table)") ?? "") ?? -1
    }

    /// A connection and an empty table of its own.
    private func withTable(_ body: (DatabaseConnection, String) async throws -> Void) async throws {
        try await withConnection { connection in
            let table = "outcome_\(connection.backendPID)"
            try await onServer("CREATE TABLE \(table) (i int)")
            try await body(connection, table)
            _ = try? await TestServer.node.query("DROP TABLE IF EXISTS \(table)")
        }
    }

    /// Starts work, interrupts it when the server waits in it, and returns its error.
    private func error(
        on connection: DatabaseConnection,
        by interruption: Interruption,
        of work: @escaping @Sendable (_ deadline: ContinuousClock.Instant?) async throws -> Void
    ) async throws -> DatabaseError {
        // Long enough to be sent in time on any machine.
        let deadline: ContinuousClock.Instant? = interruption == .deadline ? .now + .seconds(5) : nil
        let task = Task { try await work(deadline) }
        let node = try await TestServer.node
        let pid = connection.backendPID
        if interruption != .deadline {
            try await eventually("the server waits") {
                try await node.value(
                    of: "SELECT count(*) FROM pg_stat_activity WHERE pid = \(pid) AND state = 'active' "
                        + "AND wait_event_type IN ('Lock', 'Timeout', 'IPC')"
                ) == "1"
            }
        }
        switch interruption {
        case .fence: connection.interrupt(.fenced)
        case .cancellation: task.cancel()
        case .termination: try await onServer("SELECT pg_terminate_backend(\(pid))")
        case .deadline: break
        }
        return try await databaseError { try await task.value }
    }

    // MARK: Before it is sent

    @Test func aStatementThatIsPreparedWhenItsSessionEndsIsNotSent() async throws {
        for interruption in [Interruption.fence, .termination, .cancellation] {
            try await withTable { connection, table in
                let sql = SQL(raw: "INSERT INTO \(table) VALUES (1)")
                try await connection.execute(sql)
                try await withConnection { blocker in
                    // A statement is prepared when it is seen again, and its tables are locked for that.
                    try await blocker.executeScript("BEGIN; LOCK TABLE \(table)")
                    let error = try await error(on: connection, by: interruption) { deadline in
                        try await connection.execute(sql, deadline: deadline)
                    }
                    #expect(error.outcome == .notSent, "\(interruption): \(error)")
                    #expect(connection.isClosed)
                    try await blocker.execute("ROLLBACK")
                }
                #expect(try await count(table) == 1)
            }
        }
    }

    @Test func aStatementOfAFencedHandleIsNotSent() async throws {
        try await withTable { connection, table in
            try await connection.execute("BEGIN")
            connection.interrupt(.fenced)
            for text in ["INSERT INTO \(table) VALUES (1)", "COMMIT"] {
                let error = try await databaseError { try await connection.execute(SQL(raw: text)) }
                #expect(error.outcome == .notSent && error.code == .fenced && error.isSafeToRetry)
            }
        }
    }

    @Test func aScriptOfACancelledTaskIsNotSentThoughItWouldCommit() async throws {
        try await withTable { connection, table in
            let task = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                try await connection.executeScript("INSERT INTO \(table) VALUES (1); COMMIT")
            }
            let error = try await databaseError { try await task.value }
            #expect(error.code == .cancelled && error.outcome == .notSent)
            #expect(connection.isReusable)
        }
    }

    @Test func whatFollowsAnIdleTransactionThatTookTooLongIsNotSent() async throws {
        for text in ["COMMIT", "SELECT 1"] {
            try await withTable { connection, table in
                try await connection.execute("SET idle_in_transaction_session_timeout = '200ms'")
                try await connection.executeScript("BEGIN; INSERT INTO \(table) VALUES (1)")
                try await eventually("the end arrived") { connection.registration.hasPendingEvent }
                let error = try await databaseError { try await connection.execute(SQL(raw: text)) }
                #expect(error.outcome == .notSent && error.sqlState == "25P03", "\(error)")
                #expect(try await count(table) == 0)
            }
        }
    }

    // MARK: By itself

    @Test(arguments: Interruption.allCases)
    func anInsertThatIsInterruptedMayHaveRunUnlessTheServerSaysHowItEnded(_ interruption: Interruption) async throws {
        try await withTable { connection, table in
            let error = try await error(on: connection, by: interruption) { deadline in
                try await connection.execute("INSERT INTO \(raw: table) SELECT 1 FROM pg_sleep(60)", deadline: deadline)
            }
            let isKnown = interruption == .termination
            #expect(error.outcome == (isKnown ? .failed : .mayHaveRun), "\(error)")
            #expect(error.isSafeToRetry == isKnown)
            #expect(connection.isClosed)
        }
    }

    @Test func aStatementThatTakesTooLongForTheServerFailsAndTheSessionLives() async throws {
        try await withTable { connection, table in
            try await connection.execute("SET statement_timeout = '10ms'")
            let error = try await databaseError {
                try await connection.execute("INSERT INTO \(raw: table) SELECT 1 FROM pg_sleep(60)")
            }
            #expect(error.outcome == .failed && error.sqlState == .queryCanceled)
            #expect(!error.isConnectionFailure && connection.isReusable)
            #expect(try await count(table) == 0)
        }
    }

    /// The answer of a procedure that commits says nothing of what it did before it failed.
    @Test func aBlockThatFailsMayHaveCommittedAPart() async throws {
        try await withTable { connection, table in
            let block = SQL(raw: "DO $$ BEGIN INSERT INTO \(table) VALUES (1); COMMIT; PERFORM 1/0; END $$")
            let error = try await databaseError { try await connection.execute(block) }
            #expect(error.outcome == .mayHaveRun && error.sqlState == "22012")
            #expect(try await count(table) == 1)
            // In a transaction it cannot commit.
            try await connection.execute("BEGIN")
            let within = try await databaseError { try await connection.execute("DO $$ BEGIN PERFORM 1/0; END $$") }
            #expect(within.outcome == .failed)
            try await connection.execute("ROLLBACK")
        }
    }

    // MARK: In a transaction

    @Test(arguments: Interruption.allCases)
    func nothingStaysOfATransactionThatIsInterruptedBeforeItsCommit(_ interruption: Interruption) async throws {
        try await withTable { connection, table in
            let error = try await error(on: connection, by: interruption) { deadline in
                let session = DatabaseSession(connection: connection, permit: nil, deadline: deadline)
                try await session.withTransaction { tx in
                    try await tx.execute("INSERT INTO \(raw: table) VALUES (1)")
                    try await tx.withTransaction { savepoint in
                        try await savepoint.execute("INSERT INTO \(raw: table) SELECT 1 FROM pg_sleep(60)")
                    }
                }
            }
            #expect(error.outcome == .failed, "\(error)")
            #expect(connection.isClosed)
            #expect(connection.session.effects == 0, "nothing that lasts was done on the session")
            try await eventually("the transaction is rolled back") {
                try await TestServer.node.value(
                    of: "SELECT count(*) FROM pg_stat_activity WHERE pid = \(connection.backendPID)"
                ) == "0"
            }
            #expect(try await count(table) == 0)
        }
    }

    @Test func aScriptInATransactionThatDoesNotEndItLeavesNothing() async throws {
        for (script, outcome) in [
            ("SAVEPOINT a; INSERT INTO t VALUES (1); ROLLBACK TO a; SELECT pg_sleep(60)", DatabaseError.Outcome.failed),
            ("ROLLBACK; INSERT INTO t VALUES (1); SELECT pg_sleep(60)", .mayHaveRun),
        ] {
            try await withTable { connection, table in
                try await connection.execute("BEGIN")
                let text = script.replacing("INTO t", with: "INTO \(table)")
                let error = try await error(on: connection, by: .fence) { _ in try await connection.executeScript(text)
                }
                #expect(error.outcome == outcome, "\(script): \(error)")
            }
        }
    }

    @Test func aCommitThatFailsInAConflictHasFailed() async throws {
        try await withTable { connection, table in
            try await withConnection { other in
                try await connection.execute("INSERT INTO \(raw: table) VALUES (1)")
                let effects = connection.session.effects
                for session in [connection, other] {
                    try await session.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
                    _ = try await session.query("SELECT sum(i) FROM \(raw: table)")
                }
                for session in [connection, other] {
                    try await session.execute("INSERT INTO \(raw: table) VALUES (2)")
                }
                try await other.execute("COMMIT")
                let error = try await databaseError { try await connection.execute("COMMIT") }
                #expect(error.outcome == .failed && error.isTransactionConflict && error.isSafeToRetry)
                #expect(connection.session.effects == effects)
            }
        }
    }

    // MARK: Scripts

    @Test func aScriptWithoutACommitMayHaveRun() async throws {
        try await withTable { connection, table in
            let error = try await error(on: connection, by: .fence) { _ in
                try await connection.executeScript("INSERT INTO \(table) VALUES (1); SELECT pg_sleep(60), 'COMMIT'")
            }
            #expect(error.outcome == .mayHaveRun)
        }
    }

    @Test func aScriptThatCommitsSomewhereHasAnUnknownOutcome() async throws {
        for interruption in [Interruption.fence, .termination, .deadline] {
            try await withTable { connection, table in
                let error = try await error(on: connection, by: interruption) { deadline in
                    try await connection.executeScript(
                        "BEGIN; INSERT INTO \(table) VALUES (1); COMMIT; SELECT pg_sleep(60)",
                        deadline: deadline
                    )
                }
                #expect(error.outcome == .commitOutcomeUnknown, "\(interruption): \(error)")
                #expect(!error.isSafeToRetry)
                #expect(try await count(table) == 1)
            }
        }
    }

    @Test func aScriptThatCommitsIsNotCancelled() async throws {
        try await withTable { connection, table in
            let task = Task {
                try await connection.executeScript("INSERT INTO \(table) SELECT 1 FROM pg_sleep(0.5); COMMIT")
            }
            try await eventually("it runs") { connection.transactionStatus == .active }
            task.cancel()
            _ = try await task.value
            #expect(connection.isReusable)
            #expect(try await count(table) == 1)
        }
    }

    @Test func aScriptThatFailsHasFailedUpToItsCommitAndMayHaveRunBehindIt() async throws {
        try await withTable { connection, table in
            let before = try await databaseError {
                try await connection.executeScript("BEGIN; INSERT INTO \(table) VALUES (1); SELECT 1/0; COMMIT")
            }
            #expect(before.outcome == .failed)
            try await connection.execute("ROLLBACK")
            #expect(connection.session.effects == 0)
            let behind = try await databaseError {
                try await connection.executeScript("BEGIN; INSERT INTO \(table) VALUES (1); COMMIT; SELECT 1/0")
            }
            #expect(behind.outcome == .mayHaveRun)
            #expect(connection.session.effects == 1)
            #expect(try await count(table) == 1)
        }
    }

    /// The ROLLBACK in front of it is its own.
    @Test func aScriptThatRollsBackBeforeItCommitsSucceeds() async throws {
        try await withTable { connection, table in
            try await connection.execute("BEGIN")
            _ = try await databaseError { try await connection.query("SELECT 1/0") }
            try await connection.executeScript("ROLLBACK; BEGIN; INSERT INTO \(table) VALUES (1); COMMIT")
            #expect(try await count(table) == 1)
        }
    }
}

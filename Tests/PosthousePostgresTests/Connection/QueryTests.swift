// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import Testing

@testable import PosthousePostgres

@Suite(.timeLimit(.minutes(20))) struct QueryTests {
    @Test func statementsThatReadTheSameAndAreNotTheSameStayApart() async throws {
        try await withConnection { db in
            let composed = "\u{E9}"
            let decomposed = "e\u{301}"
            for text in [composed, composed, composed, decomposed, decomposed, decomposed] {
                let bytes = try await db.query(SQL(raw: "SELECT octet_length('\(text)')")).decode(Int.self)
                #expect(bytes == [text.utf8.count])
            }
        }
    }

    @Test func aScriptThatHasCommittedIsNotSaidToHaveFailedAsAWhole() async throws {
        try await withConnection { db in
            let error = try await databaseError {
                try await db.executeScript("BEGIN; CREATE TEMPORARY TABLE kept (id int); COMMIT; SELECT 1/0")
            }
            #expect(error.sqlState == "22012")
            #expect(error.outcome == .mayHaveRun)
            #expect(!error.isSafeToRetry)
            try await db.execute("INSERT INTO kept VALUES (1)")
            let whole = try await databaseError {
                try await db.executeScript("INSERT INTO kept VALUES (2); SELECT 1/0")
            }
            #expect(whole.outcome == .failed)
        }
    }

    @Test func aProcedureMayHaveCommittedBeforeItFailed() async throws {
        try await withConnection { db in
            let error = try await databaseError {
                try await db.execute("DO $$ BEGIN CREATE TEMPORARY TABLE made (id int); COMMIT; PERFORM 1/0; END $$")
            }
            #expect(error.outcome == .mayHaveRun)
            try await db.execute("INSERT INTO made VALUES (1)")
            try await db.execute("BEGIN")
            let inside = try await databaseError { try await db.execute("DO $$ BEGIN PERFORM 1/0; END $$") }
            #expect(inside.outcome == .failed, "it cannot commit there")
            try await db.execute("ROLLBACK")
        }
    }

    @Test func theFirstStatementOfAScriptTellsWhetherItsCommitCommitted() async throws {
        try await withConnection { db in
            try await db.execute("BEGIN")
            _ = try await databaseError { try await db.execute("SELECT 1/0") }
            let error = try await databaseError { try await db.executeScript("COMMIT; SELECT 1") }
            #expect(error.code == .commitRolledBack)
            try await db.execute("BEGIN")
            try await db.executeScript("COMMIT; BEGIN; ROLLBACK")
        }
    }

    /// The server sends without a pause, faster than anybody could read it all.
    @Test func anAnswerWithoutEndEndsAtItsDeadlineAndLetsOthersRun() async throws {
        try await withLoop { loop in
            let db = try await connect(TestServer.parameters(), loop: loop)
            defer { db.close() }
            let other = try await connect(TestServer.parameters(), loop: loop)
            defer { other.close() }
            async let flood = databaseError {
                try await withTaskExecutorPreference(loop) {
                    _ = try await db.query(
                        "SELECT repeat('x', 1000) FROM generate_series(1, 100000000)",
                        deadline: .now + .seconds(5)
                    )
                }
            }
            for _ in 0..<20 { try await other.execute("SELECT 1") }
            let error = try await flood
            #expect(error.code == .timedOut)
            #expect(error.outcome == .mayHaveRun)
        }
    }

    @Test func aStatementReturnsItsRows() async throws {
        try await withConnection { connection in
            let rows = try await connection.query("SELECT 1 AS one, 'zwei'::text AS two, NULL::int AS three")
            #expect(rows.commandTag == "SELECT 1")
            let row = try rows.one()
            #expect(try row["one", as: Int.self] == 1)
            #expect(try row.decode((Int, String, Int?).self) == (1, "zwei", nil))
        }
    }

    @Test func affectedRowsAreCounted() async throws {
        try await withConnection { connection in
            try await connection.execute("CREATE TEMPORARY TABLE t (id int)")
            #expect(try await connection.execute("INSERT INTO t SELECT generate_series(1, 7)") == 7)
            #expect(try await connection.execute("UPDATE t SET id = id + \(1) WHERE id > \(4)") == 3)
            #expect(try await connection.execute("DELETE FROM t WHERE id = \(-1)") == 0)
            #expect(try await connection.execute("ANALYZE t") == 0)
        }
    }

    @Test func anEmptyStatementHasNoRows() async throws {
        try await withConnection { connection in
            let rows = try await connection.query("")
            #expect(rows.isEmpty && rows.columns.isEmpty && rows.commandTag.isEmpty)
        }
    }

    @Test func valuesSurviveTheServer() async throws {
        try await withConnection { connection in
            func roundTrip<Value: SQLEncodable & SQLDecodable & Equatable>(
                _ value: Value,
                _ type: String
            ) async throws {
                let back = try await connection.query("SELECT \(value)::\(raw: type)").one().decode(Value.self)
                #expect(back == value, "\(type)")
            }
            try await roundTrip(Int64.min, "int8")
            try await roundTrip(Int16.max, "int2")
            try await roundTrip(UInt64.max, "numeric")
            try await roundTrip(0.1, "float8")
            try await roundTrip(-Double.infinity, "float8")
            try await roundTrip(Float.leastNonzeroMagnitude, "float4")
            try await roundTrip(true, "bool")
            try await roundTrip("Zoë's \"quoted\" \\ \u{1F40E}\n\t'", "text")
            try await roundTrip("", "text")
            try await roundTrip(Array(UInt8.min...UInt8.max), "bytea")
            try await roundTrip([UInt8](), "bytea")
            try await roundTrip([1, nil, -3] as [Int?], "int4[]")
            try await roundTrip(["a,b", "NULL", "", "{}\"\\", nil] as [String?], "text[]")
            try await roundTrip([Data([0, 255]), Data()], "bytea[]")
            try await roundTrip([true, false], "bool[]")
            try await roundTrip(UUID(), "uuid")
            try await roundTrip(Data([1, 2, 3]), "bytea")
            try await roundTrip(Date(timeIntervalSince1970: 1_700_000_000.123456), "timestamptz")
            try await roundTrip(Date(timeIntervalSince1970: -70_000_000_000.5), "timestamp")
            try await roundTrip(Decimal(string: "-1234567890.000123"), "numeric")
            try await roundTrip(Int?.none, "int4")
        }
    }

    @Test func timestampsAreReadInAnyTimeZone() async throws {
        for zone in ["UTC", "Asia/Kolkata", "America/St_Johns", "Africa/Monrovia"] {
            try await withConnection(options: SessionOptions(timeZone: zone)) { connection in
                let rows = try await connection.query(
                    """
                    SELECT t, extract(epoch FROM t)::float8 FROM unnest(\(["1900-01-01 00:00:00+00", "1971-06-01 12:00:00.5+00",
                    "2024-02-29 23:59:59.999999+00", "0044-03-15 00:00:00+00 BC"])::timestamptz[]) t
                    """
                )
                for (date, seconds) in try rows.decode((Date, Double).self) {
                    #expect(abs(date.timeIntervalSince1970 - seconds) < 0.000_01, "\(zone)")
                }
            }
        }
    }

    @Test func byteaInTheEscapeFormIsReadToo() async throws {
        try await withConnection { connection in
            try await connection.execute("SET bytea_output = escape")
            let bytes = Array(UInt8.min...UInt8.max)
            #expect(try await connection.query("SELECT \(bytes)::bytea").one().decode([UInt8].self) == bytes)
        }
    }

    @Test func aServersErrorCarriesAllItSaid() async throws {
        try await withConnection { connection in
            try await connection.execute("CREATE TEMPORARY TABLE things (id int CONSTRAINT things_key PRIMARY KEY)")
            try await connection.execute("INSERT INTO things VALUES (\(1))")
            let error = try await databaseError { try await connection.execute("INSERT INTO things VALUES (\(1))") }
            #expect(error.code == .server && error.sqlState == .uniqueViolation && error.outcome == .failed)
            #expect(error.phase == .waiting && error.host == connection.host)
            let diagnostics = try #require(error.diagnostics)
            #expect(diagnostics.severity == "ERROR" && diagnostics.constraint == "things_key")
            #expect(diagnostics.table == "things" && diagnostics.schema?.hasPrefix("pg_temp") == true)
            #expect(diagnostics.detail?.contains("already exists") == true)
            let syntax = try await databaseError { try await connection.query("SELECT 1 +") }
            #expect(syntax.sqlState == .syntaxError && syntax.diagnostics?.position == 11)
            #expect(connection.isReusable, "an error costs nothing but itself")
        }
    }

    @Test func whatCannotBeSentIsRefusedBeforeItIsSent() async throws {
        try await withConnection { connection in
            for sql in ["SELECT \("a\0b")::text" as SQL, "SELECT '\0'", SQL(raw: "SELECT 1\0")] {
                for _ in 0..<3 {
                    let error = try await databaseError { try await connection.query(sql) }
                    #expect(error.code == .invalidStatement && error.outcome == .notSent)
                }
            }
            let tooMany = SQL(raw: "SELECT 1", parameters: Array(repeating: 1, count: 65536))
            #expect(try await databaseError { try await connection.query(tooMany) }.code == .invalidStatement)
            #expect(
                try await databaseError { try await connection.executeScript("SELECT '\0'") }.code == .invalidStatement
            )
            #expect(connection.isReusable)
        }
    }

    @Test func theLargestNumberOfParametersIsTaken() async throws {
        try await withConnection { connection in
            let values = (1...65535).map { "\($0)" as SQL }.joined(separator: ",")
            let rows = try await connection.query("SELECT cardinality(ARRAY[\(values)])")
            #expect(try rows.one().decode(Int.self) == 65535)
        }
    }

    @Test func aStatementIsOneStatement() async throws {
        try await withConnection { connection in
            let error = try await databaseError { try await connection.query("SELECT 1; SELECT 2") }
            #expect(error.sqlState == .syntaxError)
        }
    }

    @Test func largeResultsAndParametersPassInBothDirections() async throws {
        try await withConnection { connection in
            let text = String(repeating: "Pferd\u{1F40E}", count: 800_000)
            for _ in 0..<3 {
                let rows = try await connection.query(
                    "SELECT \(text)::text, \(Array(text.utf8.prefix(1_000_000)))::bytea"
                )
                let (back, bytes) = try rows.one().decode((String, [UInt8]).self)
                #expect(back == text && bytes.elementsEqual(text.utf8.prefix(1_000_000)))
            }
            let many = try await connection.query("SELECT i, repeat('x', 100) FROM generate_series(1, 200000) i")
            #expect(many.count == 200_000)
            #expect(try many[199_999][0, as: Int.self] == 200_000)
        }
    }

    @Test func aScriptReturnsAResultForEachStatement() async throws {
        try await withConnection { connection in
            let results = try await connection.executeScript("SELECT 1; SELECT 2, 3; CREATE TEMPORARY TABLE t (i int)")
            #expect(results.map(\.commandTag) == ["SELECT 1", "SELECT 1", "CREATE TABLE"])
            #expect(try results[1].one().decode((Int, Int).self) == (2, 3))
            let error = try await databaseError {
                try await connection.executeScript("INSERT INTO t VALUES (1); SELECT 1/0; INSERT INTO t VALUES (2)")
            }
            #expect(error.sqlState == "22012" && error.outcome == .failed)
            #expect(try await connection.query("SELECT count(*) FROM t").one().decode(Int.self) == 0)
            #expect(try await connection.executeScript("").count == 1)
        }
    }

    @Test func noticesReachTheHandler() async throws {
        let notices = Mutex<[ServerDiagnostics]>([])
        let options = SessionOptions(noticeHandler: { notice in notices.withLock { $0.append(notice) } })
        try await withConnection(options: options) { connection in
            try await connection.executeScript("DO $$ BEGIN RAISE WARNING 'careful' USING HINT = 'slow'; END $$")
            let seen = notices.withLock { $0 }
            #expect(seen.map(\.message) == ["careful"])
            #expect(seen.first?.severity == "WARNING" && seen.first?.hint == "slow")
        }
    }

    @Test func aFloodOfNoticesDoesNotStopAStatement() async throws {
        try await withConnection { connection in
            let script = "DO $$ BEGIN FOR i IN 1..20000 LOOP RAISE NOTICE '%', repeat('x', 500); END LOOP; END $$;"
            let padding = "SELECT length('\(String(repeating: "y", count: 3_000_000))')"
            let results = try await connection.executeScript(script + padding)
            #expect(try results[1].one().decode(Int.self) == 3_000_000)
        }
    }

    @Test func notificationsAreDropped() async throws {
        try await withConnection { connection in
            try await connection.execute("LISTEN news")
            for _ in 0..<3 { try await connection.execute("NOTIFY news, 'x'") }
            #expect(connection.isReusable)
        }
    }

    @Test func aCopyIsRefusedAndCostsTheConnection() async throws {
        for sql in ["COPY (SELECT 1) TO STDOUT", "CREATE TEMPORARY TABLE t (i int); COPY t FROM STDIN"] {
            try await withConnection { connection in
                let error = try await databaseError { try await connection.executeScript(sql) }
                #expect(error.code == .unsupportedStatement)
                #expect(connection.isClosed && !connection.isReusable)
            }
        }
    }

    @Test func theTransactionStatusFollowsTheStatements() async throws {
        try await withConnection { connection in
            #expect(connection.transactionStatus == .idle && connection.isReusable)
            try await connection.execute("BEGIN")
            #expect(connection.transactionStatus == .inTransaction && !connection.isReusable)
            _ = try await databaseError { try await connection.query("SELECT 1/0") }
            #expect(connection.transactionStatus == .inFailedTransaction && !connection.isReusable)
            #expect(!connection.isClosed)
            try await connection.execute("ROLLBACK")
            #expect(connection.transactionStatus == .idle && connection.isReusable)
            connection.close()
            #expect(connection.transactionStatus == .unknown && !connection.isReusable && connection.isClosed)
        }
    }

    @Test func commitOfAFailedTransactionIsAnError() async throws {
        try await withConnection { connection in
            for isScript in [true, false] {
                try await connection.execute("BEGIN")
                _ = try await databaseError { try await connection.query("SELECT 1/0") }
                let error = try await databaseError {
                    if isScript {
                        try await connection.executeScript("/* done */ commit")
                    } else {
                        try await connection.execute("COMMIT")
                    }
                }
                #expect(error.code == .commitRolledBack && error.outcome == .failed)
                #expect(connection.isReusable)
            }
            try await connection.execute("BEGIN")
            try await connection.execute("ROLLBACK")
        }
    }

    @Test(arguments: [
        ("COMMIT", true), ("  commit;", true), ("-- x\n/* y */ Commit AND CHAIN", true), ("END", true),
        (";END WORK", true),
        ("PREPARE TRANSACTION 'x'", true), ("PREPARE p AS SELECT 1", false), ("ROLLBACK", false),
        ("SELECT 'COMMIT'", false),
        ("committed", false), ("", false), ("END_", false),
    ])
    func whatCommitsIsKnown(text: String, commits: Bool) {
        #expect(SQL(raw: text).isCommit == commits)
    }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePostgres

@Suite struct StatementCacheTests {
    @Test func aTextIsPreparedWhenItIsSeenAgain() {
        var cache = StatementCache(capacity: 2)
        #expect(cache.plan(for: "a") == .unnamed)
        #expect(cache.plan(for: "a") == .prepare(name: "posthouse_1"))
        cache.markPrepared("a", as: "posthouse_1")
        #expect(cache.plan(for: "a") == .prepared(name: "posthouse_1"))
    }

    @Test func theLeastRecentlyUsedOneMakesRoom() {
        var cache = StatementCache(capacity: 2)
        for text in ["a", "b"] {
            _ = cache.plan(for: text)
            if case .prepare(let name) = cache.plan(for: text) { cache.markPrepared(text, as: name) }
        }
        _ = cache.plan(for: "a")
        #expect(cache.plan(for: "c") == .unnamed)
        #expect(cache.retired == ["posthouse_2"])
        #expect(cache.plan(for: "a") == .prepared(name: "posthouse_1"))
        #expect(cache.plan(for: "b") == .unnamed)
        #expect(cache.takeRetired() == ["posthouse_2"] && cache.retired.isEmpty)
    }

    @Test func aNameIsNeverGivenTwice() {
        var cache = StatementCache(capacity: 1)
        _ = cache.plan(for: "a")
        #expect(cache.plan(for: "a") == .prepare(name: "posthouse_1"))
        #expect(cache.plan(for: "a") == .prepare(name: "posthouse_2"), "the first attempt failed")
    }

    @Test func textsOfDifferentBytesAreDifferentStatements() {
        var cache = StatementCache(capacity: 3)
        let composed = "SELECT '\u{E9}'"
        let decomposed = "SELECT 'e\u{301}'"
        #expect(composed == decomposed, "as Swift compares")
        _ = cache.plan(for: composed)
        if case .prepare(let name) = cache.plan(for: composed) { cache.markPrepared(composed, as: name) }
        #expect(cache.plan(for: decomposed) == .unnamed)
        #expect(cache.plan(for: decomposed) == .prepare(name: "posthouse_2"))
        #expect(cache.plan(for: composed) == .prepared(name: "posthouse_1"))
    }

    @Test func longTextsAreNotKept() {
        var cache = StatementCache(capacity: 2)
        let text = String(repeating: "x", count: 40_000)
        for _ in 0..<3 { #expect(cache.plan(for: text) == .unnamed) }
    }

    @Test func withoutRoomNothingIsPrepared() {
        var cache = StatementCache(capacity: 0)
        for _ in 0..<3 { #expect(cache.plan(for: "a") == .unnamed) }
    }

    @Test func whatTheServerForgotIsNotDroppedThere() {
        var cache = StatementCache(capacity: 2)
        for isKnown in [false, true] {
            _ = cache.plan(for: "a")
            _ = cache.plan(for: "a")
            cache.markPrepared("a", as: "x")
            cache.forget("a", isKnownToServer: isKnown)
            #expect(cache.takeRetired() == (isKnown ? ["x"] : []))
        }
        cache.markPrepared("a", as: "x")
        cache.forgetAll()
        #expect(cache.preparedCount == 0)
    }
}

@Suite(.timeLimit(.minutes(20))) struct PreparedStatementTests {
    /// The names that the server knows, asked for without preparing anything.
    private func preparedNames(_ connection: DatabaseConnection) async throws -> [String] {
        let rows = try await connection.executeScript("SELECT name FROM pg_prepared_statements ORDER BY prepare_time")
        return try rows[0].decode(String.self)
    }

    @Test func aRepeatedStatementIsPreparedOnce() async throws {
        try await withConnection { connection in
            for number in 0..<5 {
                let row = try await connection.query("SELECT \(number)::int").one()
                #expect(try row.decode(Int.self) == number)
                let names = try await preparedNames(connection)
                #expect(names.count == min(number, 1))
            }
        }
    }

    @Test func withoutACacheNothingIsPrepared() async throws {
        try await withConnection(options: SessionOptions(statementCacheSize: 0)) { connection in
            for number in 0..<3 {
                let row = try await connection.query("SELECT \(number)::int").one()
                #expect(try row.decode(Int.self) == number)
            }
            #expect(try await preparedNames(connection).isEmpty)
        }
    }

    @Test func evictedStatementsAreDroppedAtTheServer() async throws {
        try await withConnection(options: SessionOptions(statementCacheSize: 4)) { connection in
            for number in 0..<100 {
                for _ in 0..<2 {
                    let sql: SQL = "SELECT \(raw: "\(number)") + \(1)::int"
                    let row = try await connection.query(sql).one()
                    #expect(try row.decode(Int.self) == number + 1)
                }
            }
            #expect(try await preparedNames(connection).count <= 4 + 16)
        }
    }

    @Test func anEvictedStatementThatIsGoneAlreadyHarmsNobody() async throws {
        try await withConnection(options: SessionOptions(statementCacheSize: 1)) { connection in
            for number in 0..<100 {
                for _ in 0..<2 {
                    let row = try await connection.query("SELECT \(raw: "\(number)")").one()
                    #expect(try row.decode(Int.self) == number)
                }
                let name = try await preparedNames(connection).randomElement()
                if let name { try await connection.executeScript("DEALLOCATE \(name)") }
            }
        }
    }

    @Test func aTableThatChangedMeansPreparingAnew() async throws {
        try await withConnection { connection in
            try await connection.execute("CREATE TEMPORARY TABLE t AS SELECT 1 AS a")
            for _ in 0..<3 { #expect(try await connection.query("SELECT * FROM t").columns.count == 1) }
            try await connection.execute("ALTER TABLE t ADD b int")
            for _ in 0..<3 { #expect(try await connection.query("SELECT * FROM t").columns.count == 2) }
        }
    }

    @Test func inATransactionAChangedTableIsAnErrorAndTheNextOneWorks() async throws {
        try await withConnection { connection in
            try await connection.execute("CREATE TEMPORARY TABLE t AS SELECT 1 AS a")
            for _ in 0..<3 { _ = try await connection.query("SELECT * FROM t") }
            try await connection.execute("ALTER TABLE t ADD b int")
            try await connection.execute("BEGIN")
            let error = try await databaseError { try await connection.query("SELECT * FROM t") }
            #expect(error.sqlState == .featureNotSupported && connection.transactionStatus == .inFailedTransaction)
            try await connection.execute("ROLLBACK")
            #expect(try await connection.query("SELECT * FROM t").columns.count == 2)
        }
    }

    @Test(arguments: ["DISCARD ALL", "DEALLOCATE ALL"])
    func statementsThatWereDroppedBehindTheDriverAreMadeAnew(drop: String) async throws {
        try await withConnection { connection in
            for isScript in [true, false] {
                for _ in 0..<3 { _ = try await connection.query("SELECT 1") }
                if isScript {
                    try await connection.executeScript(drop)
                } else {
                    try await connection.execute(SQL(raw: drop))
                }
                // Also inside a transaction, where a retry is impossible.
                try await connection.executeScript("BEGIN")
                for _ in 0..<3 { #expect(try await connection.query("SELECT 1").count == 1) }
                try await connection.executeScript("COMMIT")
            }
        }
    }

    @Test func aSingleStatementThatWasDroppedIsMadeAnew() async throws {
        try await withConnection { connection in
            for _ in 0..<3 { _ = try await connection.query("SELECT 7") }
            let name = try await preparedNames(connection)[0]
            try await connection.executeScript("DEALLOCATE \(name)")
            for _ in 0..<3 { #expect(try await connection.query("SELECT 7").one().decode(Int.self) == 7) }
        }
    }

    @Test func aStatementThatDoesNotParseIsNotKept() async throws {
        try await withConnection { connection in
            for _ in 0..<4 {
                let error = try await databaseError { try await connection.query("SELECT +") }
                #expect(error.sqlState == .syntaxError)
            }
            #expect(try await preparedNames(connection).isEmpty)
        }
    }

    @Test func theSameTextTakesParametersOfDifferentLengthAndNull() async throws {
        try await withConnection { connection in
            for text in ["a", nil, String(repeating: "b", count: 100_000), "", "c"] as [String?] {
                let row = try await connection.query("SELECT \(text)::text").one()
                #expect(try row.decode(String?.self) == text)
            }
        }
    }
}

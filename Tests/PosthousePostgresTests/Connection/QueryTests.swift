// SPDX-License-Identifier: Apache-2.0

import Foundation
import PosthousePostgres
import Testing

@Suite(.timeLimit(.minutes(2))) struct QueryTests {
    @Test func aStatementReturnsItsRows() async throws {
        try await withConnection { connection in
            let rows = try await connection.query("SELECT 1 AS one, 'zwei'::text AS two, NULL::int AS three")
            #expect(rows.commandTag == "SELECT 1")
            let row = try rows.one()
            #expect(try row["one", as: Int.self] == 1)
            #expect(try row.decode((Int, String, Int?).self) == (1, "zwei", nil))
        }
    }
}

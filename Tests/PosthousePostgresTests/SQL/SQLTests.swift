// SPDX-License-Identifier: Apache-2.0

import PosthousePostgres
import Testing

@Suite struct SQLTests {
    @Test func aLiteralHasNoParameters() {
        let sql: SQL = "SELECT 1"
        #expect(sql.text == "SELECT 1")
        #expect(sql.parameterCount == 0)
    }

    @Test func anInterpolatedValueIsBoundAndNeverSpliced() {
        let name = "'; DROP TABLE people; --"
        let sql: SQL = "SELECT * FROM people WHERE name = \(name) AND age > \(18)"
        #expect(sql.text == "SELECT * FROM people WHERE name = $1 AND age > $2")
        #expect(sql == SQL(raw: "SELECT * FROM people WHERE name = $1 AND age > $2", parameters: [name, 18]))
    }

    @Test func nilIsBoundAsNull() {
        let nothing: Int? = nil
        #expect(("SELECT \(nothing)::int" as SQL) == SQL(raw: "SELECT $1::int", parameters: [nil]))
    }

    @Test func identifiersAreQuotedAndQualified() {
        #expect(("\(identifier: "my \"table\"")" as SQL).text == "\"my \"\"table\"\"\"")
        #expect(("\(identifier: "public", "Été")" as SQL).text == "\"public\".\"Été\"")
    }

    @Test func rawTextGoesInAsItIs() {
        #expect(("SELECT 1 ORDER BY 1 \(raw: "DESC")" as SQL).text == "SELECT 1 ORDER BY 1 DESC")
    }

    @Test func nestedFragmentsAreRenumbered() {
        let condition: SQL = "age BETWEEN \(1) AND \(2)"
        let both: SQL = "SELECT \(0) WHERE \(condition) OR \(condition) LIMIT \(3)"
        #expect(both.text == "SELECT $1 WHERE age BETWEEN $2 AND $3 OR age BETWEEN $4 AND $5 LIMIT $6")
        #expect(both.parameterCount == 6)
        let deeper: SQL = "SELECT \("x"), (\(both))"
        #expect(deeper.text.hasSuffix("LIMIT $7)"))
    }

    @Test func fragmentsWithRepeatedPlaceholdersKeepTheirMeaning() {
        let fragment = SQL(raw: "a = $1 OR b = $1 OR c = $2", parameters: [1, 2])
        #expect(("SELECT \(0), \(fragment)" as SQL).text == "SELECT $1, a = $2 OR b = $2 OR c = $3")
    }

    @Test(arguments: [
        "'$1'", "'it''s $1'", "E'\\'$1'", "e'\\\\'", "\"$1\"", "\"a\"\"$1\"", "-- $1\n", "-- $1",
        "/* $1 /* $1 */ $1 */",
        "$$ $1 $$", "$tag$ $1 $$ $1 $tag$", "a$1", "Été$1", "'$1", "$$ $1", "/* $1", "$ 1", "",
    ])
    func placeholdersInStringsNamesAndCommentsAreNotCode(text: String) {
        let fragment = SQL(raw: text)
        #expect(("\(7)\(raw: " ")\(fragment)" as SQL).text == "$1 " + text)
    }

    @Test(arguments: [
        ("'$1'||$1", "'$1'||$2"), ("E'\\''||$1", "E'\\''||$2"), ("type'\\'||$1", "type'\\'||$2"), ("($1)", "($2)"),
        ("$1::text", "$2::text"), ("a-$1", "a-$2"), ("a/$1", "a/$2"), ("$$x$$||$12", "$$x$$||$13"),
        ("U&\"\\0041\"=$1", "U&\"\\0041\"=$2"),
    ])
    func placeholdersInCodeAreFound(text: String, shifted: String) {
        let fragment = SQL(raw: text)
        #expect(("\(7)\(raw: " ")\(fragment)" as SQL).text == "$1 " + shifted)
    }

    @Test func fragmentsAreJoined() {
        let conditions: [SQL] = ["a = \(1)", "b = \(2)", "c IS NULL"]
        let sql: SQL = "WHERE \(conditions.joined(separator: " AND "))"
        #expect(sql.text == "WHERE a = $1 AND b = $2 AND c IS NULL")
        #expect([SQL]().joined(separator: ",").text.isEmpty)
    }

    @Test func aDescriptionNeverShowsValues() {
        let sql: SQL = "SELECT \("s3cret")"
        #expect(!"\(sql)".contains("s3cret"))
        #expect(!String(reflecting: sql).contains("s3cret"))
        var dumped = ""
        dump(sql, to: &dumped)
        #expect(!dumped.contains("s3cret"))
    }
}

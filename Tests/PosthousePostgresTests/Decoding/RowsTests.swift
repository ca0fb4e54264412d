// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePostgres

@Suite struct RowsTests {
    private let people: Rows

    init() throws {
        people = try MadeResult.rows(
            .init(name: "id", type: SQLType(oid: 20), values: ["1", "2"]),
            .init(name: "name", type: SQLType(oid: 25), values: ["Ann", nil]),
            .init(name: "Name", type: SQLType(oid: 25), values: ["x", "y"])
        )
    }

    private func failure<Value>(_ body: () throws -> Value) throws -> DatabaseError {
        try #require(#expect(throws: DatabaseError.self) { _ = try body() })
    }

    @Test func valuesAreReadByNameAndByIndex() throws {
        let row = try #require(people.first)
        #expect(try row["id", as: Int.self] == 1)
        #expect(try row[0, as: Int32.self] == 1)
        #expect(try row["name", as: String.self] == "Ann")
        let name: String? = try people[1]["name"]
        #expect(name == nil)
    }

    @Test func namesAreComparedExactly() throws {
        #expect(try people[0]["Name", as: String.self] == "x")
        for wrong in ["nam", "names", "NAME", "", "na\0me"] {
            #expect(try failure { try people[0][wrong, as: String.self] }.code == .columnNotFound)
        }
    }

    @Test func aMissingColumnListsTheOnesThatThereAre() throws {
        let error = try failure { try people[0]["nmae", as: String.self] }
        #expect(error.message == #"The result has no column "nmae". It has "id", "name", "Name"."#)
        #expect(try failure { try people[0][3, as: Int.self] }.code == .columnNotFound)
        #expect(try failure { try people[0][-1, as: Int.self] }.code == .columnNotFound)
    }

    @Test func aDecodingErrorNamesColumnTypesAndReasonButNoValue() throws {
        let error = try failure { try people[0]["name", as: Int.self] }
        #expect(error.code == .decodingFailed)
        #expect(error.phase == .decoding)
        #expect(error.outcome == .completed)
        #expect(error.host == "db1:5432")
        #expect(
            error.message
                == #"Column "name" (index 1, text) of row 0 cannot be read as Int: the text is not a whole number."#
        )
        let null = try failure { try people[1]["name", as: String.self] }
        #expect(null.message.contains("NULL") && null.message.contains("row 1"))
    }

    @Test func rowsDecodeAsTuplesAndAsSingleValues() throws {
        let tuples = try people.decode((Int, String?, String).self)
        #expect(tuples.count == 2 && tuples[0] == (1, "Ann", "x") && tuples[1] == (2, nil, "y"))
        let ids = try MadeResult.rows(.init(name: "id", type: SQLType(oid: 23), values: ["3", "4"]))
        #expect(try ids.decode(Int.self) == [3, 4])
    }

    @Test func aTupleOfAnotherSizeIsRefused() throws {
        #expect(try failure { try people.decode((Int, String?).self) }.message.contains("3 columns"))
        #expect(try failure { try people.decode((Int, String?, String, Int).self) }.code == .decodingFailed)
    }

    @Test func rowsAreACollection() throws {
        #expect(people.count == 2)
        #expect(try people.map { try $0["id", as: Int.self] } == [1, 2])
        #expect(try people.last?["id", as: Int.self] == 2)
        #expect(people.columns.map(\.name) == ["id", "name", "Name"])
        #expect(people.columns.map(\.type.description) == ["int8", "text", "text"])
    }

    @Test func exactlyOneRowIsAskedFor() throws {
        #expect(try failure { try people.one() }.code == .unexpectedRowCount)
        #expect(try failure { try people.oneOrNone() }.code == .unexpectedRowCount)
        let none = try MadeResult.rows(.init(name: "id", type: SQLType(oid: 23), values: []))
        #expect(try none.oneOrNone() == nil)
        #expect(try failure { try none.one() }.code == .unexpectedRowCount)
    }

    @Test func aRowOutlivesItsRows() throws {
        var row: Row?
        do {
            let rows = try MadeResult.rows(.init(name: "a", type: SQLType(oid: 25), values: ["still here"]))
            row = rows.first
        }
        #expect(try row?["a", as: String.self] == "still here")
    }

    @Test func aRowDescribesItsColumnsAndNoValues() {
        #expect("\(people[0])" == "Row(id, name, Name)")
    }

    @Test func typesHavePostgreSQLNames() {
        #expect(SQLType(oid: 1016).description == "int8[]")
        #expect(SQLType(oid: 1001).element == .bytea)
        #expect(SQLType(oid: 99_999).description == "type 99999")
    }
}

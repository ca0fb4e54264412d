// SPDX-License-Identifier: Apache-2.0

/// The answer to one statement: its rows, which are read in place from libpq's memory, and its command tag.
///
/// A collection of ``Row``; a value is decoded when it is asked for.
///
/// ```swift
/// for row in try await db.query("SELECT id, name FROM people") {
///     let (id, name) = try row.decode((Int, String?).self)
/// }
/// ```
public struct Rows: Sendable {
    let result: ServerResult

    /// What the server says it did: `SELECT 5`, `UPDATE 1`, `CREATE TABLE`.
    public var commandTag: String { result.commandTag }

    /// How many rows the statement returned or changed; 0 for statements that do neither.
    public var affectedRows: Int { result.affectedRows }

    /// The columns, in order.
    public var columns: [Column] {
        (0..<result.columnCount).map { Column(name: result.columnName($0), type: result.columnType($0)) }
    }

    /// One column of a result.
    public struct Column: Hashable, Sendable {
        /// The name that the statement gave it. Names need not be unique.
        public let name: String
        /// The type of its values.
        public let type: SQLType
    }
}

extension Rows: RandomAccessCollection {
    /// The position of the first row: 0.
    public var startIndex: Int { 0 }

    /// The number of rows.
    public var endIndex: Int { result.rowCount }

    /// The row at a position. Like an array, it stops the program for a position outside.
    public subscript(position: Int) -> Row {
        precondition(position >= 0 && position < result.rowCount, "row \(position) of \(result.rowCount)")
        return Row(result: result, index: position)
    }
}

extension Rows {
    /// Every row as a tuple, or as a single value.
    ///
    /// ```swift
    /// let people = try rows.decode((Int, String?).self)
    /// let ids = try rows.decode(Int.self)
    /// ```
    ///
    /// - Throws: ``DatabaseError/Code/decodingFailed`` if a value does not fit, or the number of columns is another.
    public func decode<each Value: SQLDecodable>(
        _ type: (repeat each Value).Type
    ) throws(DatabaseError) -> [(repeat each Value)] {
        var values: [(repeat each Value)] = []
        values.reserveCapacity(count)
        for row in self {
            values.append(try row.decode(type))
        }
        return values
    }

    /// The only row.
    ///
    /// - Throws: ``DatabaseError/Code/unexpectedRowCount`` if there are none or several.
    public func one() throws(DatabaseError) -> Row {
        guard count == 1 else {
            throw DatabaseError(
                code: .unexpectedRowCount,
                message: "The statement was to return exactly one row and returned \(count).",
                host: result.host,
                phase: .decoding,
                outcome: .completed
            )
        }
        return self[0]
    }

    /// The only row, or nil if there is none.
    ///
    /// - Throws: ``DatabaseError/Code/unexpectedRowCount`` if there are several.
    public func oneOrNone() throws(DatabaseError) -> Row? {
        isEmpty ? nil : try one()
    }
}

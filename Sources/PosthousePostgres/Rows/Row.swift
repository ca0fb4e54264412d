// SPDX-License-Identifier: Apache-2.0

/// One row of a result.
public struct Row: Sendable {
    let result: ServerResult
    let index: Int

    /// How many columns the row has.
    public var columnCount: Int { result.columnCount }

    /// The value of the first column of this name. Names are compared exactly: PostgreSQL folds unquoted names to lower
    /// case.
    ///
    /// - Throws: ``DatabaseError/Code/columnNotFound``, ``DatabaseError/Code/decodingFailed``.
    public subscript<Value: SQLDecodable>(name: String, as type: Value.Type = Value.self) -> Value {
        get throws(DatabaseError) {
            guard let column = result.columnIndex(named: name) else { throw result.missingColumn("\"\(name)\"") }
            return try result.decode(row: index, column: column, as: type)
        }
    }

    /// The value of the column at a position, from 0.
    ///
    /// - Throws: ``DatabaseError/Code/columnNotFound``, ``DatabaseError/Code/decodingFailed``.
    public subscript<Value: SQLDecodable>(column: Int, as type: Value.Type = Value.self) -> Value {
        get throws(DatabaseError) {
            guard column >= 0, column < result.columnCount else { throw result.missingColumn("\(column)") }
            return try result.decode(row: index, column: column, as: type)
        }
    }

    /// The whole row as a tuple, or as a single value if it has one column.
    ///
    /// - Throws: ``DatabaseError/Code/decodingFailed`` if a value does not fit, or the number of columns is another.
    public func decode<each Value: SQLDecodable>(
        _ type: (repeat each Value).Type
    ) throws(DatabaseError) -> (repeat each Value) {
        var wanted = 0
        for _ in repeat (each Value).self {
            wanted += 1
        }
        guard wanted == result.columnCount else {
            throw DatabaseError(
                code: .decodingFailed,
                message: "A row of \(result.columnCount) columns cannot be read as \(wanted) values.",
                host: result.host,
                phase: .decoding,
                outcome: .completed
            )
        }
        var column = 0
        return (repeat try next((each Value).self, &column))
    }

    private func next<Value: SQLDecodable>(_ type: Value.Type, _ column: inout Int) throws(DatabaseError) -> Value {
        defer { column += 1 }
        return try result.decode(row: index, column: column, as: type)
    }
}

extension Row: CustomStringConvertible {
    /// The names of the columns. Values are not for logs.
    public var description: String {
        "Row(\((0..<result.columnCount).map { result.columnName($0) }.joined(separator: ", ")))"
    }
}

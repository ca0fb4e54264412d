// SPDX-License-Identifier: Apache-2.0
import Posthouse

/// The result of one statement, for people and for programs.
struct ExecResult {
    let host: String
    let role: TargetRole
    let rows: Rows
    let elapsed: Duration

    /// One object with the keys of the command line's contract. Numbers and booleans keep their kind; an integer of
    /// any size prints as it is, all else is a string.
    var json: JSONValue {
        .document([
            "host": .string(host),
            "role": .string(role.rawValue),
            "columns": .array(rows.columns.map { .string($0.name) }),
            "rows": .array(
                rows.map { row in .array(rows.columns.indices.map { Self.value(row, $0, rows.columns[$0]) }) }
            ),
            "command_tag": .string(rows.commandTag),
            "elapsed_ms": .milliseconds(elapsed),
        ])
    }

    private static func value(_ row: Row, _ index: Int, _ column: Rows.Column) -> JSONValue {
        if column.type.description == "bool", let value = try? row[index, as: Bool?.self] { return .bool(value) }
        if ["int2", "int4", "int8", "oid"].contains(column.type.description),
            let value = try? row[index, as: Int64?.self]
        {
            return .integer(value)
        }
        if ["float4", "float8"].contains(column.type.description), let value = try? row[index, as: Double?.self],
            value.isFinite
        {
            return .number(value)
        }
        return .optional((try? row[index, as: String?.self]) ?? nil)
    }

    /// A table of the rows, or the command tag.
    var text: String {
        guard !rows.columns.isEmpty else { return rows.commandTag }
        var table = TextTable(rows.columns.map(\.name))
        for row in rows {
            table.append(rows.columns.indices.map { ((try? row[$0, as: String?.self]) ?? nil) ?? "" })
        }
        return table.description
    }
}

// SPDX-License-Identifier: Apache-2.0

/// Rows for a terminal: the first column to the left, the others to the right.
package struct TextTable {
    private let rows: [[String]]

    /// - Parameter rows: The heads first; all of one length.
    package init(_ rows: [[String]]) {
        self.rows = rows
    }

    package var lines: [String] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).enumerated().map { column, cell in
                let padding = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + padding : padding + cell.0
            }.joined(separator: "  ")
        }
    }
}

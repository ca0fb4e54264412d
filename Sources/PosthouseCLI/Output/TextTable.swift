// SPDX-License-Identifier: Apache-2.0

/// Rows of text under a heading, in columns, for people.
struct TextTable: CustomStringConvertible {
    private var rows: [[String]]

    init(_ heading: String...) {
        self.init(heading)
    }

    init(_ heading: [String]) {
        rows = [heading]
    }

    mutating func append(_ cells: String...) {
        append(cells)
    }

    mutating func append(_ cells: [String]) {
        rows.append(cells)
    }

    /// The lines, columns two blanks apart. Control characters show as `?`, so that a value cannot disturb the terminal.
    var description: String {
        let cells = rows.map { row in row.map(Self.printable) }
        var widths: [Int] = []
        for row in cells {
            for (column, cell) in row.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], cell.count)
            }
        }
        return cells.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 2) }
            }
            return line
        }
        .joined(separator: "\n")
    }

    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? "?" : $0 })
        )
    }
}

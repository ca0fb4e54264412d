// SPDX-License-Identifier: Apache-2.0

import Foundation

extension Results {
    /// For a terminal.
    var table: String {
        var rows = [["", "ops/s", "ratio", "p50 ms", "p99 ms", "fairness"]]
        for line in contenders {
            rows.append([
                line.name, String(Int(line.operationsPerSecond)), line.ratio.text(2), line.p50.text(3),
                line.p99.text(3),
                line.fairness?.text(2) ?? "-",
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var lines = rows.map { row in
            zip(row, widths).enumerated().map { column, cell in
                let padding = String(repeating: " ", count: cell.1 - cell.0.count)
                return column == 0 ? cell.0 + padding : padding + cell.0
            }.joined(separator: "  ")
        }
        for missing in missing { lines.append("missing: \(missing.id) (\(missing.reason))") }
        lines.append(
            "\(clients) clients, medians of \(rounds) rounds of \(secondsPerRound.text(0)) s; ratio: to the best pgbench; "
                + "fairness: slowest client / fastest"
        )
        lines.append("\(machine.summary)")
        return lines.joined(separator: "\n")
    }
}

extension MachineFacts {
    var summary: String { "\(cores) cores, \(processor), PostgreSQL \(postgresql), Swift \(swift)" }
}

extension Double {
    /// With exactly so many digits after the point.
    func text(_ digits: Int) -> String { String(format: "%.\(digits)f", self) }
}

// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
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
        var lines = TextTable(rows).lines
        for missing in missing { lines.append("missing: \(missing.id) (\(missing.reason))") }
        lines.append(
            "\(clients) clients, medians of \(rounds) rounds of \(secondsPerRound.text(0)) s; ratio: to the best pgbench; "
                + "fairness: slowest client / fastest"
        )
        lines.append("\(machine.summary)")
        return lines.joined(separator: "\n")
    }
}

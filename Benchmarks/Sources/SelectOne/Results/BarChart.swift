// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit

/// A horizontal bar for each contender, as an SVG picture.
struct BarChart {
    private let results: Results

    private static let width = 860.0
    private static let labelWidth = 290.0
    private static let valueWidth = 150.0
    private static let rowHeight = 30.0
    private static let barHeight = 20.0
    private static let top = 66.0

    init(_ results: Results) {
        self.results = results
    }

    var svg: String {
        let rows = results.contenders
        let bottom = Self.top + Double(rows.count) * Self.rowHeight
        let height = bottom + 52
        let most = rows.map(\.operationsPerSecond).max() ?? 1
        let scale = (Self.width - Self.labelWidth - Self.valueWidth) / most
        var parts = [
            SVG.open(width: Self.width, height: height),
            SVG.text(
                "SELECT 1, \(results.clients) clients, over TCP",
                x: 20,
                y: 30,
                style: "font-size=\"18\" font-weight=\"600\""
            ),
            SVG.text(
                "statements per second, and the ratio to the best pgbench",
                x: 20,
                y: 50,
                style: "fill=\"#555555\""
            ),
        ]
        for (index, row) in rows.enumerated() {
            let y = Self.top + Double(index) * Self.rowHeight
            let length = row.operationsPerSecond * scale
            parts.append(SVG.text(row.name, x: Self.labelWidth - 10, y: y + 15, style: "text-anchor=\"end\""))
            parts.append(
                "<rect x=\"\(Self.labelWidth.text(0))\" y=\"\(y.text(0))\" width=\"\(length.text(1))\" "
                    + "height=\"\(Self.barHeight.text(0))\" rx=\"2\" fill=\"\(row.family.color)\"/>"
            )
            let value = "\((row.operationsPerSecond / 1000).text(1))k  (\(row.ratio.text(2)))"
            parts.append(SVG.text(value, x: Self.labelWidth + length + 8, y: y + 15))
        }
        let medians = "medians of \(results.rounds) rounds of \(results.secondsPerRound.text(0)) s"
        let footer = [medians, results.machine.summary] + results.missing.map { "missing: \($0.id)" }
        parts.append(
            SVG.text(footer.joined(separator: "; "), x: 20, y: bottom + 26, style: "font-size=\"12\" fill=\"#555555\"")
        )
        parts.append("</svg>\n")
        return parts.joined(separator: "\n")
    }
}

extension Contender.Family {
    /// Told apart by people who see no red and green, too.
    fileprivate var color: String {
        switch self {
        case .limit: "#8a8a8a"
        case .posthouse: "#0072b2"
        case .peer: "#e69f00"
        }
    }
}

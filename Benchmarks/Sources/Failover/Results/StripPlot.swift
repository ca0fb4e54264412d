// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// A dot for each loss, on a logarithmic scale: nothing is averaged away.
struct StripPlot {
    private let results: FailoverResults

    private static let width = 860.0
    private static let left = 210.0
    private static let right = 830.0
    private static let rowHeight = 34.0
    /// Milliseconds.
    private static let scale = (least: 1.0, most: 20_000.0)

    init(_ results: FailoverResults) {
        self.results = results
    }

    var svg: String {
        var parts: [String] = []
        var y = 60.0
        for strike in Strike.allCases where results.losses.contains(where: { $0.strike == strike }) {
            parts.append(SVG.text(strike.title, x: 20, y: y, style: "font-weight=\"600\""))
            y += 12
            let top = y
            for contender in Contender.allCases {
                let outcomes = results.outcomes(of: contender, strike)
                guard !outcomes.isEmpty else { continue }
                y += Self.rowHeight
                parts.append(
                    SVG.text(contender.name, x: Self.left - 14, y: y - 8, style: "text-anchor=\"end\" font-size=\"13\"")
                )
                for (index, outcome) in outcomes.enumerated() {
                    // One that never came stands at the end, hollow.
                    let x = position(outcome.gap ?? Self.scale.most)
                    let fill = outcome.gap == nil ? "none" : color(contender)
                    let lift = Double(index % 5) * 4 - 8
                    parts.append(
                        "<circle cx=\"\(x.text(1))\" cy=\"\((y - 12 + lift).text(1))\" r=\"4\" fill=\"\(fill)\" "
                            + "stroke=\"\(color(contender))\" fill-opacity=\"0.55\"/>"
                    )
                }
            }
            parts += axis(from: top, to: y + 4)
            y += 52
        }
        let footer = "each loss is lived through by one application; \(results.machine.summary)"
        parts.append(SVG.text(footer, x: 20, y: y - 8, style: "font-size=\"11\" fill=\"#555555\""))
        let head = [
            SVG.open(width: Self.width, height: y + 8),
            SVG.text(
                "Until the first write on the new primary",
                x: 20,
                y: 30,
                style: "font-size=\"18\" font-weight=\"600\""
            ),
        ]
        return (head + parts + ["</svg>\n"]).joined(separator: "\n")
    }

    private func position(_ milliseconds: Double) -> Double {
        let clamped = min(max(milliseconds, Self.scale.least), Self.scale.most)
        let share = log(clamped / Self.scale.least) / log(Self.scale.most / Self.scale.least)
        return Self.left + share * (Self.right - Self.left)
    }

    private func axis(from top: Double, to bottom: Double) -> [String] {
        [1.0, 10, 100, 1000, 10_000].flatMap { milliseconds in
            let x = position(milliseconds)
            let label = milliseconds < 1000 ? "\(milliseconds.text(0)) ms" : "\((milliseconds / 1000).text(0)) s"
            return [
                "<line x1=\"\(x.text(1))\" y1=\"\(top.text(1))\" x2=\"\(x.text(1))\" y2=\"\(bottom.text(1))\" "
                    + "stroke=\"#dddddd\"/>",
                SVG.text(
                    label,
                    x: x,
                    y: bottom + 16,
                    style: "text-anchor=\"middle\" font-size=\"11\" fill=\"#555555\""
                ),
            ]
        }
    }

    private func color(_ contender: Contender) -> String {
        switch contender {
        case .posthouse: "#d9480f"
        case .hasql: "#1971c2"
        case .hasqlFast: "#74a9d8"
        }
    }
}

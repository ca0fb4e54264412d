// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// A figure against the number of callers, a panel for each size of pool, both axes logarithmic, as an SVG picture.
struct HoldChart {
    /// The file's, without its ending.
    let name: String
    private let title: String
    private let subtitle: String
    private let results: PoolResults
    private let lines: [Line]
    /// Powers of ten.
    private let range: ClosedRange<Int>
    private let label: (Int) -> String

    /// One of the figures of each contender.
    private struct Line {
        var value: (PoolResults.Hold) -> Double
        var style = ""
    }

    static func latency(_ results: PoolResults) -> HoldChart {
        HoldChart(
            name: "pool-latency",
            title: "Waiting for a connection that everybody holds for one yield",
            subtitle: "999 of 1000 wait no longer (solid), and half of them (dashed), against the number of callers",
            results: results,
            lines: [Line(value: \.p999), Line(value: \.p50, style: " stroke-dasharray=\"4 4\"")],
            range: -1...6,
            label: { ["100 ns", "1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s"][$0 + 1] }
        )
    }

    static func throughput(_ results: PoolResults) -> HoldChart {
        HoldChart(
            name: "pool-throughput",
            title: "Leases of connections that everybody holds for one yield",
            subtitle: "leases per second, all callers together, against the number of callers",
            results: results,
            lines: [Line(value: \.perSecond)],
            range: 3...7,
            label: { ["1k/s", "10k/s", "100k/s", "1M/s", "10M/s"][$0 - 3] }
        )
    }

    private static let panelWidth = 300.0
    private static let panelHeight = 260.0
    private static let left = 70.0
    private static let top = 120.0
    private static let gap = 50.0

    var svg: String {
        let width = Self.left + 3 * (Self.panelWidth + Self.gap)
        let height = Self.top + Self.panelHeight + 80
        var parts = [
            SVG.open(width: width, height: height),
            SVG.text(title, x: 20, y: 30, style: "font-size=\"18\" font-weight=\"600\""),
            SVG.text(subtitle, x: 20, y: 50, style: "fill=\"#555555\""),
        ]
        parts += legend
        for (index, pool) in Extent.holdPools.enumerated() {
            parts += panel(of: pool, x: Self.left + Double(index) * (Self.panelWidth + Self.gap), isFirst: index == 0)
        }
        let footer =
            ["medians of \(results.holdRounds) rounds of \(results.holdSeconds.text(2)) s", results.machine.summary]
            + results.missing.map { "missing: \($0.id)" }
        parts.append(
            SVG.text(
                footer.joined(separator: "; "),
                x: 20,
                y: height - 16,
                style: "font-size=\"12\" fill=\"#555555\""
            )
        )
        parts.append("</svg>\n")
        return parts.joined(separator: "\n")
    }

    private var contenders: [Contender] {
        Contender.allCases.filter { one in results.holds.contains { $0.contender == one } }
    }

    private var legend: [String] {
        var x = 20.0
        return contenders.flatMap { contender in
            defer { x += 60 + 8 * Double(contender.name.count) }
            return [
                "<line x1=\"\(x.text(0))\" y1=\"72\" x2=\"\((x + 24).text(0))\" y2=\"72\" stroke=\"\(contender.color)\" "
                    + "stroke-width=\"3\"/>",
                SVG.text(contender.name, x: x + 30, y: 77),
            ]
        }
    }

    private func panel(of pool: Int, x: Double, isFirst: Bool) -> [String] {
        let bottom = Self.top + Self.panelHeight
        var parts = [
            SVG.text("pool of \(pool)", x: x, y: Self.top - 12, style: "font-weight=\"600\"")
        ]
        for power in range {
            let y = place(pow(10, Double(power)))
            parts.append(
                "<line x1=\"\(x.text(0))\" y1=\"\(y.text(1))\" x2=\"\((x + Self.panelWidth).text(0))\" "
                    + "y2=\"\(y.text(1))\" stroke=\"#dddddd\"/>"
            )
            guard isFirst else { continue }
            parts.append(SVG.text(label(power), x: x - 8, y: y + 5, style: "text-anchor=\"end\" font-size=\"12\""))
        }
        for callers in [1, 8, 64, 512, 8192] {
            parts.append(
                SVG.text(
                    "\(callers)",
                    x: x + offset(callers),
                    y: bottom + 20,
                    style: "text-anchor=\"middle\" font-size=\"12\""
                )
            )
        }
        for contender in contenders.reversed() {
            let holds = results.holds.filter { $0.contender == contender && $0.pool == pool }
            for line in lines {
                let points = holds.map { "\((x + offset($0.callers)).text(1)),\(place(line.value($0)).text(1))" }
                parts.append(
                    "<polyline points=\"\(points.joined(separator: " "))\" fill=\"none\" stroke=\"\(contender.color)\" "
                        + "stroke-width=\"2.5\"\(line.style)/>"
                )
            }
        }
        return parts
    }

    /// From the panel's left edge.
    private func offset(_ callers: Int) -> Double { Self.panelWidth * log2(Double(callers)) / 13 }

    private func place(_ value: Double) -> Double {
        let lowest = Double(range.lowerBound)
        let power = min(max(log10(max(value, .leastNonzeroMagnitude)), lowest), Double(range.upperBound))
        return Self.top + Self.panelHeight * (1 - (power - lowest) / Double(range.count - 1))
    }
}

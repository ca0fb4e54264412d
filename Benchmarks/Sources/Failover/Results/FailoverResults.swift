// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// A comparison's outcome, as it is kept in `results/`.
struct FailoverResults: Codable {
    /// One loss, and what the application felt.
    struct Loss: Codable {
        var strike: Strike
        /// From the loss to the promotion, in seconds.
        var promotionAfter: Double
        var contender: Contender
        var outcome: LossOutcome

        enum CodingKeys: String, CodingKey {
            case strike, contender, outcome
            case promotionAfter = "promotion_after_s"
        }
    }

    var version = 1
    var benchmark = "failover"
    /// The day, in UTC.
    var measuredOn: String
    var machine: MachineFacts
    /// From a crash to the promotion, in seconds.
    var longestWait: Double
    private(set) var losses: [Loss] = []

    enum CodingKeys: String, CodingKey {
        case version, benchmark, machine, losses
        case measuredOn = "measured_on"
        case longestWait = "longest_wait_s"
    }

    init(measuredOn: String, machine: MachineFacts, longestWait: Double) {
        self.measuredOn = measuredOn
        self.machine = machine
        self.longestWait = longestWait
    }

    mutating func add(_ outcome: LossOutcome, of contender: Contender, strike: Strike, wait: Double) {
        losses.append(
            Loss(strike: strike, promotionAfter: wait.rounded(to: 2), contender: contender, outcome: outcome)
        )
    }

    /// Takes over what another comparison on this machine found out about losses of kinds that this one leaves out.
    mutating func keep(_ others: FailoverResults) {
        let kinds = Set(losses.map(\.strike))
        losses += others.losses.filter { !kinds.contains($0.strike) }
        if !kinds.contains(.crash) { longestWait = others.longestWait }
    }

    func outcomes(of contender: Contender, _ strike: Strike) -> [LossOutcome] {
        losses.filter { $0.strike == strike && $0.contender == contender }.map(\.outcome)
    }

    /// For a terminal.
    var report: String {
        Strike.allCases.compactMap(report).joined(separator: "\n\n")
            + "\n\nsent to stale: rows on the old primary that were asked for after the first write on the new one was; lost\n"
            + "missing: other acknowledged writes that the new primary does not have; the heir is a synchronous standby\n"
            + "failed writes: ours are tried again where that is safe, hasql does not offer that\n"
            + "crashes: promotion after 0 to \(longestWait.text(0)) s\n"
            + "each loss is lived through by one application, the contenders take turns; \(machine.summary)"
    }

    private func report(_ strike: Strike) -> String? {
        guard losses.contains(where: { $0.strike == strike }) else { return nil }
        var rows = [
            [
                "", "losses", "median ms", "worst ms", "never", "sent to stale", "missing", "twice",
                "failed writes a loss",
                "failed reads a loss",
            ]
        ]
        for contender in Contender.allCases {
            let those = outcomes(of: contender, strike)
            guard !those.isEmpty else { continue }
            let gaps = those.map { $0.gap ?? .infinity }
            func sum(_ figure: KeyPath<LossOutcome, Int>) -> String {
                "\(those.map { $0[keyPath: figure] }.reduce(0, +))"
            }
            func mean(_ figure: KeyPath<LossOutcome, Int>) -> String {
                (Double(those.map { $0[keyPath: figure] }.reduce(0, +)) / Double(those.count)).text(1)
            }
            rows.append([
                contender.name, "\(those.count)", gaps.median.text(1), (gaps.max() ?? .nan).text(1),
                "\(those.count { $0.gap == nil })", sum(\.sentToStale), sum(\.missing), sum(\.duplicates),
                mean(\.failedWrites), mean(\.failedReads),
            ])
        }
        return ([strike.title] + TextTable(rows).lines).joined(separator: "\n")
    }
}

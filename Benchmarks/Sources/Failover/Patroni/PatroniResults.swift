// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// What was felt under Patroni, as it is kept in `results/`.
struct PatroniResults: Codable {
    /// One primary that was replaced.
    struct Loss: Codable {
        var way: PatroniTrial.Way
        var contender: Contender
        var route: PatroniTrial.Route
        var outcome: LossOutcome
    }

    var version = 1
    var benchmark = "patroni"
    /// The day, in UTC.
    var measuredOn: String
    var machine: MachineFacts
    /// Of the leader, in seconds.
    var lease: Int
    var losses: [Loss] = []

    enum CodingKeys: String, CodingKey {
        case version, benchmark, machine, losses
        case measuredOn = "measured_on"
        case lease = "lease_s"
    }

    init(measuredOn: String, machine: MachineFacts, lease: Int) {
        self.measuredOn = measuredOn
        self.machine = machine
        self.lease = lease
    }

    /// For a terminal.
    var report: String {
        PatroniTrial.Way.allCases.map(report).joined(separator: "\n\n")
            + "\n\nfirst write: after one that tries every millisecond on a warm connection could; outage: since the order or\n"
            + "the death; missing: acknowledged writes that the new primary does not have (replication is synchronous);\n"
            + machine.summary
    }

    private func outcomes(
        of contender: Contender,
        by route: PatroniTrial.Route,
        _ way: PatroniTrial.Way
    ) -> [LossOutcome] {
        losses.filter { $0.way == way && $0.contender == contender && $0.route == route }.map(\.outcome)
    }

    private func report(_ way: PatroniTrial.Way) -> String {
        var rows = [
            [
                "", "route", "losses", "first write, median ms", "worst ms", "never", "outage, median s",
                "failed writes",
                "failed reads", "missing", "twice", "acknowledged",
            ]
        ]
        for contender in Contender.allCases {
            for route in PatroniTrial.Route.allCases {
                let those = outcomes(of: contender, by: route, way)
                if those.isEmpty { continue }
                let gaps = those.map { $0.gap ?? .infinity }
                func sum(_ figure: KeyPath<LossOutcome, Int>) -> String {
                    "\(those.map { $0[keyPath: figure] }.reduce(0, +))"
                }
                rows.append([
                    contender.name, route.rawValue, "\(those.count)", gaps.median.text(1), (gaps.max() ?? .nan).text(1),
                    "\(those.count { $0.gap == nil })", (those.map { $0.outage ?? .infinity }.median / 1000).text(2),
                    sum(\.failedWrites), sum(\.failedReads), sum(\.missing), sum(\.duplicates), sum(\.acknowledged),
                ])
            }
        }
        let head =
            switch way {
            case .switchover: "Switchover by Patroni"
            case .death: "The leader and its Patroni killed, lease \(lease) s"
            }
        return ([head] + TextTable(rows).lines).joined(separator: "\n")
    }
}

// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// The costs, as they are kept in `results/`.
struct CostResults: Codable {
    var version = 1
    var benchmark = "cost"
    /// The day, in UTC.
    var measuredOn: String
    var machine: MachineFacts
    /// How long each was watched.
    var seconds: Double
    var watching: [Watching.Cost] = []
    var hunting: [Hunting.Burden] = []

    enum CodingKeys: String, CodingKey {
        case version, benchmark, machine, seconds, watching, hunting
        case measuredOn = "measured_on"
    }

    init(measuredOn: String, machine: MachineFacts, seconds: Double) {
        self.measuredOn = measuredOn
        self.machine = machine
        self.seconds = seconds
    }

    /// For a terminal.
    var report: String {
        let watched =
            [["healthy, without users", "hosts", "probes/s", "connections", "processor", "MiB"]]
            + watching.map {
                [
                    $0.contender.name, "\($0.hosts)", $0.probesPerSecond.text(1), "\($0.connections)",
                    "\((100 * $0.processorShare).text(2))%", $0.residentMebibytes.text(1),
                ]
            }
        let hunted =
            [
                [
                    "the only server away", "callers", "connects/s", "in the second after", "first write, median ms",
                    "worst ms",
                ]
            ]
            + hunting.map {
                let gaps = $0.firstWriteMilliseconds
                return [
                    $0.contender.name, "\($0.callers)", $0.connectsPerSecond.text(1),
                    "\($0.connectsOnReturn.max() ?? 0)", gaps.median.text(1), (gaps.max() ?? .nan).text(1),
                ]
            }
        return [
            TextTable(watched).lines.joined(separator: "\n"), TextTable(hunted).lines.joined(separator: "\n"),
            "probes: statements on all servers together; 100 hosts are 16 servers, replicas behind several addresses; "
                + machine.summary,
        ].joined(separator: "\n\n")
    }
}

// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// A comparison's outcome, as it is kept in `results/`.
struct Results: Codable {
    var version = 1
    /// What was measured.
    var benchmark = "SELECT 1"
    /// The day, in UTC.
    var measuredOn: String
    var machine: MachineFacts
    var clients: Int
    var rounds: Int
    var secondsPerRound: Double
    var contenders: [Line]
    /// Who could not take part, and why.
    var missing: [Missing]

    /// One contender: the medians over all rounds.
    struct Line: Codable {
        var id: String
        var name: String
        var family: Contender.Family
        var operationsPerSecond: Double
        /// To the best pgbench: the median of the ratios within each round, so that drift of the machine cancels.
        var ratio: Double
        var p50: Double
        var p99: Double
        var fairness: Double?
        /// Each round's rate.
        var rounds: [Double]

        enum CodingKeys: String, CodingKey {
            case id, name, family, ratio, fairness, rounds
            case operationsPerSecond = "ops_per_second"
            case p50 = "p50_ms"
            case p99 = "p99_ms"
        }
    }

    /// One who did not take part.
    struct Missing: Codable {
        var id: String
        var reason: String
    }

    enum CodingKeys: String, CodingKey {
        case version, benchmark, machine, clients, rounds, contenders, missing
        case measuredOn = "measured_on"
        case secondsPerRound = "seconds_per_round"
    }

    func write(to folder: URL) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try (encoder.encode(self) + Data("\n".utf8)).write(to: folder.appending(path: "select1.json"))
        try Data(BarChart(self).svg.utf8).write(to: folder.appending(path: "select1.svg"))
    }
}

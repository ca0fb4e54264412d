// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit

/// Measurements of all contenders, round by round.
struct Comparison {
    /// Those who take part, in the order of the report.
    let contenders: [Contender]
    private var measurements: [Contender: [Measurement]] = [:]

    init(_ contenders: [Contender]) {
        self.contenders = contenders
    }

    /// Each round begins elsewhere, so that nobody always follows the same one.
    func order(inRound round: Int, of rounds: Int) -> [Contender] {
        let start = contenders.count * round / max(1, rounds)
        return Array(contenders[start...] + contenders[..<start])
    }

    mutating func add(_ measurement: Measurement, of contender: Contender) {
        measurements[contender, default: []].append(measurement)
    }

    /// The pgbench that all are compared with: the one with the higher median.
    private var best: [Measurement] {
        contenders.filter { $0.family == .limit }.compactMap { measurements[$0] }
            .max { $0.map(\.operationsPerSecond).median < $1.map(\.operationsPerSecond).median } ?? []
    }

    var lines: [Results.Line] {
        let best = best
        return contenders.compactMap { contender in
            guard let rounds = measurements[contender] else { return nil }
            let ratios = zip(rounds, best).map { $0.operationsPerSecond / $1.operationsPerSecond }
            let fairness = rounds.compactMap(\.fairness)
            return Results.Line(
                id: contender.id,
                name: contender.name,
                family: contender.family,
                operationsPerSecond: rounds.map(\.operationsPerSecond).median.rounded(),
                ratio: ratios.median.rounded(to: 3),
                p50: rounds.map(\.p50).median.rounded(to: 4),
                p99: rounds.map(\.p99).median.rounded(to: 4),
                fairness: fairness.isEmpty ? nil : fairness.median.rounded(to: 3),
                rounds: rounds.map { $0.operationsPerSecond.rounded() }
            )
        }
    }
}

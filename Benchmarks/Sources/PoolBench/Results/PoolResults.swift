// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// A comparison's outcome, as it is kept in `results/`. Medians over the rounds; ratios are medians of each round's.
struct PoolResults: Codable {
    var version = 1
    var benchmark = "connection pool"
    /// The day, in UTC.
    var measuredOn: String
    var machine: MachineFacts
    /// The peers' versions, by name.
    var versions: [String: String]
    var rounds: Int
    var holdRounds: Int
    var holdSeconds: Double
    var hits: [Hit]
    var sizes: Sizes
    var bursts: [Burst]
    var holds: [Hold]
    var spikes: [Spike]
    var ours: OwnFigures
    /// Who could not take part, and why.
    var missing: [Missing]

    /// Leasing an idle connection and returning it; nanoseconds, all callers together.
    struct Hit: Codable {
        var contender: Contender
        /// `hit` or `scoped`.
        var shape: String
        var callers: Int
        var nanoseconds: Double
        /// In pairs of compare-exchanges on one word by one caller.
        var inPairsAlone: Double?
        /// In pairs by as many callers on one word.
        var inPairs: Double?
        /// To our `acquire` and `release`.
        var toOurs: Double?

        enum CodingKeys: String, CodingKey {
            case contender, shape, callers
            case nanoseconds = "ns"
            case inPairsAlone = "in_pairs_alone"
            case inPairs = "in_pairs_contended"
            case toOurs = "to_ours"
        }
    }

    /// What a hit costs in a pool of 512, to one in a pool of 64.
    struct Sizes: Codable {
        var idle: Double
        /// While 448 others are leased: the first idle one is far from the beginning.
        var amongLeased: Double

        enum CodingKeys: String, CodingKey {
            case idle = "pool_512_to_64"
            case amongLeased = "pool_512_with_448_leased_to_64"
        }
    }

    /// A thousand leases together, by so many new tasks, on a pool of 50.
    struct Burst: Codable {
        var tasks: Int
        var microseconds: Double

        enum CodingKeys: String, CodingKey {
            case tasks
            case microseconds = "us"
        }
    }

    /// Leases held for one yield.
    struct Hold: Codable {
        var contender: Contender
        var pool: Int
        var callers: Int
        var perSecond: Double
        /// Waiting for a connection, in microseconds.
        var p50: Double
        var p99: Double
        var p999: Double
        /// The slowest caller's leases, as a share of the fastest one's.
        var fairness: Double
        var throughputToOurs: Double?
        var p99ToOurs: Double?
        var p999ToOurs: Double?

        enum CodingKeys: String, CodingKey {
            case contender, pool, callers, fairness
            case perSecond = "per_second"
            case p50 = "p50_us"
            case p99 = "p99_us"
            case p999 = "p999_us"
            case throughputToOurs = "throughput_to_ours"
            case p99ToOurs = "p99_to_ours"
            case p999ToOurs = "p999_to_ours"
        }
    }

    /// Fifty callers at once, with 5 connections open of at most 50.
    struct Spike: Codable {
        var contender: Contender
        var opened: Double
        var milliseconds: Double

        enum CodingKeys: String, CodingKey {
            case contender, opened
            case milliseconds = "ms"
        }
    }

    /// One who did not take part.
    struct Missing: Codable {
        var id: String
        var reason: String
    }

    enum CodingKeys: String, CodingKey {
        case version, benchmark, machine, versions, rounds, hits, sizes, bursts, holds, spikes, ours, missing
        case measuredOn = "measured_on"
        case holdRounds = "hold_rounds"
        case holdSeconds = "hold_seconds"
    }

    func write(to folder: URL) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try (encoder.encode(self) + Data("\n".utf8)).write(to: folder.appending(path: "pool.json"))
        for chart in [HoldChart.latency(self), .throughput(self)] {
            try Data(chart.svg.utf8).write(to: folder.appending(path: "\(chart.name).svg"))
        }
    }
}

extension PoolResults {
    init(
        _ comparison: PoolComparison,
        versions: [Contender: String],
        ours: OwnFigures,
        machine: MachineFacts
    ) {
        let records = comparison.records
        self.init(
            measuredOn: Date.now.formatted(.iso8601.year().month().day()),
            machine: machine,
            versions: Dictionary(uniqueKeysWithValues: versions.map { ($0.name, $1) }),
            rounds: comparison.extent.rounds,
            holdRounds: comparison.extent.holdRounds,
            holdSeconds: comparison.extent.holdSeconds,
            hits: Extent.hitCallers.flatMap { Self.hits(by: $0, records) },
            sizes: Sizes(
                idle: (records.ratio("ns", .large, to: .small) ?? .nan).rounded(to: 2),
                amongLeased: (records.ratio("ns", .crowded, to: .small) ?? .nan).rounded(to: 2)
            ),
            bursts: [50, 1].compactMap { tasks in
                records.median("ns", .init(.posthouse, .burst, callers: tasks, size: 50))
                    .map { Burst(tasks: tasks, microseconds: ($0 / 1000).rounded(to: 1)) }
            },
            holds: Extent.holdPools.flatMap { pool in
                comparison.extent.holdCallers.flatMap { Self.holds(of: pool, by: $0, records) }
            },
            spikes: Contender.allCases.compactMap { contender in
                let cell = Records.Cell(contender, .spike)
                guard let opened = records.median("opened", cell), let took = records.median("ms", cell) else {
                    return nil
                }
                return Spike(contender: contender, opened: opened, milliseconds: took.rounded(to: 1))
            },
            ours: ours,
            missing: comparison.missing
        )
    }

    private static func hits(by callers: Int, _ records: Records) -> [Hit] {
        let size = Extent.hitPool
        return Contender.allCases.flatMap { contender in
            [Question.Kind.hit, .scoped].compactMap { kind in
                let cell = Records.Cell(contender, kind, callers: callers, size: size)
                guard let nanoseconds = records.median("ns", cell) else { return nil }
                func ratio(to kind: Question.Kind, _ callers: Int) -> Double? {
                    let other = Records.Cell(.posthouse, kind, callers: callers, size: size)
                    return records.ratio("ns", cell, to: other)?.rounded(to: 2)
                }
                return Hit(
                    contender: contender,
                    shape: kind.rawValue,
                    callers: callers,
                    nanoseconds: nanoseconds.rounded(to: 1),
                    inPairsAlone: ratio(to: .pair, 1),
                    inPairs: ratio(to: .pair, callers),
                    toOurs: ratio(to: .hit, callers)
                )
            }
        }
    }

    private static func holds(of pool: Int, by callers: Int, _ records: Records) -> [Hold] {
        Contender.allCases.compactMap { contender in
            let cell = Records.Cell(contender, .hold, callers: callers, size: pool)
            let ours = Records.Cell(.posthouse, .hold, callers: callers, size: pool)
            guard let perSecond = records.median("per_second", cell) else { return nil }
            func median(_ figure: String, _ digits: Int) -> Double {
                (records.median(figure, cell) ?? .nan).rounded(to: digits)
            }
            return Hold(
                contender: contender,
                pool: pool,
                callers: callers,
                perSecond: perSecond.rounded(),
                p50: median("p50_us", 2),
                p99: median("p99_us", 2),
                p999: median("p999_us", 2),
                fairness: median("fairness", 3),
                throughputToOurs: records.ratio("per_second", cell, to: ours)?.rounded(to: 3),
                p99ToOurs: records.ratio("p99_us", cell, to: ours)?.rounded(to: 2),
                p999ToOurs: records.ratio("p999_us", cell, to: ours)?.rounded(to: 2)
            )
        }
    }
}

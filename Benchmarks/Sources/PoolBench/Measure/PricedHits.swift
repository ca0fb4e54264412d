// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import PosthousePool

/// What one caller's hit costs in pairs of compare-exchanges, in thin slices of both by turns.
///
/// A slice is undisturbed if the processor's execution units were as fast before and after it as they ever were in this run
/// (``executionUnitsNanoseconds()``); only these tell what the code costs. How many they were is told as well.
struct PricedHits {
    var slices: Int
    /// Hits in a slice; a fraction of a millisecond.
    private static let hits = 4_000
    /// Above the fastest, what still counts as undisturbed.
    static let tolerance = 1.05

    private struct Slice {
        /// The slower one of before and after.
        var units: Double
        var hit: Double
        var pair: Double
    }

    func run(on pool: StubPool) async throws -> Answer {
        let pair = ComparedPair()
        var taken: [Slice] = []
        for _ in 0..<slices {
            let before = executionUnitsNanoseconds()
            let hit = try await HitLoop(callers: 1, count: Self.hits).nanoseconds { count in
                for _ in 0..<count { try await pool.acquire().release() }
            }
            let compared = try await pair.nanoseconds(callers: 1, count: 2 * Self.hits)
            taken.append(Slice(units: max(before, executionUnitsNanoseconds()), hit: hit, pair: compared))
        }
        let fastest = taken.map(\.units).min() ?? 0
        let undisturbed = taken.filter { $0.units <= fastest * Self.tolerance }
        return [
            "pairs": undisturbed.map { $0.hit / $0.pair }.median,
            "ns": undisturbed.map(\.hit).median,
            "pairs_disturbed": taken.map { $0.hit / $0.pair }.median,
            "undisturbed": Double(undisturbed.count) / Double(taken.count),
            "units": fastest,
        ]
    }
}

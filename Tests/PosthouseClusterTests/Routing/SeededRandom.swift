// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

@testable import PosthousePool

/// Chance that can be replayed.
final class SeededRandom: Sendable {
    private let generator: Guarded<SplitMix64>

    init(_ seed: UInt64) { generator = Guarded(SplitMix64(seed: seed)) }

    func next() -> Double { generator.withLock { Double.random(in: 0...1, using: &$0) } }
}

/// How far counts are from what was expected of them. Whoever compares two kinds exceeds 10.8 once in a thousand times,
/// three kinds 13.8, four 16.3.
func chiSquare(_ counts: [Int], _ expected: [Double]) -> Double {
    let total = Double(counts.reduce(0, +))
    let whole = expected.reduce(0, +)
    return zip(counts, expected).reduce(0) { sum, pair in
        let mean = total * pair.1 / whole
        return sum + (Double(pair.0) - mean) * (Double(pair.0) - mean) / mean
    }
}

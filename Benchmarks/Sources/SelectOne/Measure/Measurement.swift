// SPDX-License-Identifier: Apache-2.0

/// What one contender did in one round.
struct Measurement: Codable, Sendable {
    /// Statements per second, all clients together.
    var operationsPerSecond: Double
    /// The median time of a statement, in milliseconds.
    var p50: Double
    /// The time that 99 of 100 statements do not exceed, in milliseconds.
    var p99: Double
    /// What the slowest client got done, as a share of what the fastest did; `nil` if that is not known.
    var fairness: Double?

    enum CodingKeys: String, CodingKey {
        case operationsPerSecond = "ops_per_second"
        case p50 = "p50_ms"
        case p99 = "p99_ms"
        case fairness
    }
}

extension Measurement {
    /// Sums up a round of clients who each did one statement after the other.
    ///
    /// - Parameters:
    ///   - latencies: Of each client, in nanoseconds.
    ///   - seconds: From the start of the first to the end of the last.
    init(latencies: [[UInt32]], seconds: Double) {
        let sorted = latencies.joined().sorted()
        func milliseconds(_ percent: Int) -> Double {
            sorted.isEmpty ? 0 : Double(sorted[sorted.count * percent / 100]) / 1_000_000
        }
        let counts = latencies.map(\.count)
        let most = counts.max() ?? 0
        self.init(
            operationsPerSecond: Double(sorted.count) / seconds,
            p50: milliseconds(50),
            p99: milliseconds(99),
            fairness: most > 0 ? Double(counts.min() ?? 0) / Double(most) : nil
        )
    }
}

// SPDX-License-Identifier: Apache-2.0

/// Counts durations in buckets of at most 1.6 % width, from a microsecond to hours, in constant space.
struct LatencyHistogram: Sendable {
    private static let subBuckets = 64
    private var counts: [Int] = []
    private(set) var count = 0

    mutating func record(_ duration: Duration) {
        let index = Self.bucket(of: max(0, duration.microseconds))
        if index >= counts.count { counts.append(contentsOf: repeatElement(0, count: index + 1 - counts.count)) }
        counts[index] += 1
        count += 1
    }

    mutating func merge(_ other: LatencyHistogram) {
        if other.counts.count > counts.count {
            counts.append(contentsOf: repeatElement(0, count: other.counts.count - counts.count))
        }
        for (index, number) in other.counts.enumerated() { counts[index] += number }
        count += other.count
    }

    /// The least value that at least this share of the durations does not exceed; `nil` without any.
    func quantile(_ share: Double) -> Duration? {
        guard count > 0 else { return nil }
        let wanted = max(1, Int((Double(count) * share).rounded(.up)))
        var seen = 0
        for (index, number) in counts.enumerated() {
            seen += number
            if seen >= wanted { return .microseconds(Self.upperBound(of: index)) }
        }
        return nil
    }

    /// Exact below 64 µs; above, each power of two is cut into 64 parts.
    private static func bucket(of value: Int) -> Int {
        guard value >= subBuckets else { return value }
        let shift = Int.bitWidth - value.leadingZeroBitCount - 7
        return (shift + 1) * subBuckets + (value >> shift) - subBuckets
    }

    private static func upperBound(of index: Int) -> Int {
        guard index >= subBuckets else { return index }
        let shift = index / subBuckets - 1
        let base = index % subBuckets + subBuckets
        return ((base + 1) << shift) - 1
    }
}

extension Duration {
    var microseconds: Int {
        Int(components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000)
    }

    /// Milliseconds, to a thousandth.
    var milliseconds: Double { Double(microseconds) / 1000 }
}

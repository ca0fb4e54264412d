// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Synchronization

/// How much one host's connections are used: counted without a lock.
final class HostGauge: Sendable {
    private let uses = Atomic<Int>(0)
    /// Seconds, as a pattern of bits; not a number before the first use.
    private let average = Atomic<UInt64>(Double.nan.bitPattern)

    /// How much each use counts in the average.
    static let share = 0.2

    var inUse: Int { max(0, uses.load(ordering: .relaxed)) }

    var averageUse: Duration? {
        let seconds = Double(bitPattern: average.load(ordering: .relaxed))
        return seconds.isNaN ? nil : .seconds(seconds)
    }

    func begin() {
        uses.wrappingAdd(1, ordering: .relaxed)
    }

    func end(after time: Duration) {
        uses.wrappingSubtract(1, ordering: .relaxed)
        let seconds = max(0, time / .seconds(1))
        var bits = average.load(ordering: .relaxed)
        while true {
            let before = Double(bitPattern: bits)
            let after = before.isNaN ? seconds : before + (seconds - before) * Self.share
            let (exchanged, found) = average.weakCompareExchange(
                expected: bits,
                desired: after.bitPattern,
                ordering: .relaxed
            )
            if exchanged { return }
            bits = found
        }
    }
}

/// One use of a host's connection, measured until it is ended, or forgotten.
@usableFromInline
final class HostUse: Sendable {
    private let gauge: HostGauge
    private let clock: any ClusterClock
    private let began: ContinuousClock.Instant
    private let hasEnded = Atomic(false)

    init(of gauge: HostGauge, clock: any ClusterClock) {
        self.gauge = gauge
        self.clock = clock
        began = clock.now
        gauge.begin()
    }

    deinit { end() }

    @usableFromInline
    func end() {
        guard !hasEnded.exchange(true, ordering: .relaxed) else { return }
        gauge.end(after: began.duration(to: clock.now))
    }
}

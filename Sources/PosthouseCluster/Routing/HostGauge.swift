// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Synchronization

/// How much one host's connections are used, and how fast it answers: counted without a lock.
final class HostGauge: Sendable {
    private let uses = Atomic<Int>(0)
    private let useTimes = MovingAverage()
    private let responseTimes = MovingAverage()

    var inUse: Int { max(0, uses.load(ordering: .relaxed)) }

    var averageUse: Duration? { useTimes.value }

    var averageResponse: Duration? { responseTimes.value }

    func begin() {
        uses.wrappingAdd(1, ordering: .relaxed)
    }

    func end(after time: Duration) {
        uses.wrappingSubtract(1, ordering: .relaxed)
        useTimes.note(time)
    }

    /// A statement was answered.
    func answered(after time: Duration) {
        responseTimes.note(time)
    }
}

/// An average of times in which the last ones count most.
private struct MovingAverage: ~Copyable, Sendable {
    /// How much each one counts.
    static let share = 0.2

    /// Seconds, as a pattern of bits; not a number before the first.
    private let bits = Atomic<UInt64>(Double.nan.bitPattern)

    var value: Duration? {
        let seconds = Double(bitPattern: bits.load(ordering: .relaxed))
        return seconds.isNaN ? nil : .seconds(seconds)
    }

    func note(_ time: Duration) {
        let seconds = max(0, time / .seconds(1))
        var old = bits.load(ordering: .relaxed)
        while true {
            let before = Double(bitPattern: old)
            let after = before.isNaN ? seconds : before + (seconds - before) * Self.share
            let (exchanged, found) = bits.weakCompareExchange(
                expected: old,
                desired: after.bitPattern,
                ordering: .relaxed
            )
            if exchanged { return }
            old = found
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

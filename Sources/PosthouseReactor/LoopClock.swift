// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// A moment as a loop counts it: in units of 2^30 attoseconds (1.07 ns) since the loop was made.
///
/// A clock instant is a 128-bit count of attoseconds. To nanoseconds that is a division of several dozen cycles at every
/// wait; to these ticks it is a shift, and the result fits an atomic word.
typealias Ticks = Int64

/// Converts between clock instants and ticks.
struct LoopClock: Sendable {
    private let origin = Moment.now

    /// The present.
    func now() -> Ticks {
        ticks(Moment.now)
    }

    /// A moment, rounded down.
    func ticks(_ moment: Moment) -> Ticks {
        Ticks(clamping: (moment - origin).attoseconds >> 30)
    }

    /// A deadline, rounded up: nothing ends before its time. `.max` means never.
    func deadline(_ moment: Moment) -> Ticks {
        let (sum, overflow) = ticks(moment).addingReportingOverflow(1)
        return overflow ? .max : sum
    }

    /// The length of a number of ticks.
    static func duration(_ ticks: Ticks) -> Duration {
        Duration(attoseconds: Int128(ticks) << 30)
    }

    /// A number of ticks in nanoseconds, rounded up.
    static func nanoseconds(_ ticks: Ticks) -> Int64 {
        Int64(clamping: ((Int128(ticks) << 30) + 999_999_999) / 1_000_000_000)
    }

    /// A duration in ticks, rounded down.
    static func length(_ duration: Duration) -> Ticks {
        Ticks(clamping: duration.attoseconds >> 30)
    }
}

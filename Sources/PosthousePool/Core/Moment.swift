// SPDX-License-Identifier: Apache-2.0

/// A time inside the pool: how long after a fixed instant of this process.
///
/// The layout of `ContinuousClock.Instant` is known only at run time, and so is that of everything that contains one:
/// copying a request or a member would call the runtime several times on each idle hit. A `Duration` is 16 plain bytes.
typealias Moment = Duration

extension Moment {
    private static let reference = ContinuousClock.now

    init(_ instant: ContinuousClock.Instant) {
        self = Self.reference.duration(to: instant)
    }

    var instant: ContinuousClock.Instant { Self.reference + self }
}

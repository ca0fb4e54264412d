// SPDX-License-Identifier: Apache-2.0

/// A time inside this process: how long after a fixed instant.
///
/// The layout of `ContinuousClock.Instant` is known only at run time, and so is that of everything that contains one:
/// copying a request, a session or a pool's member would call the runtime several times on each statement. A `Duration` is
/// 16 plain bytes.
package typealias Moment = Duration

extension Moment {
    private static let reference = ContinuousClock.now

    package init(_ instant: ContinuousClock.Instant) {
        self = Self.reference.duration(to: instant)
    }

    package static var now: Moment { Moment(.now) }

    package var instant: ContinuousClock.Instant { Self.reference + self }
}

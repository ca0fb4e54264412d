// SPDX-License-Identifier: Apache-2.0

/// How much of its share a host gets that has come back: its caches are cold, and none of its connections is open.
///
/// The weight grows evenly from 0.1 to 1 in 10 s. Hosts that were there when the process started have their full share at
/// once: all of them are as cold.
struct SlowStart: Sendable, Equatable {
    static let duration = Duration.seconds(10)
    static let first = 0.1

    /// Its connections were closed, or there never were any.
    private var isCold = false
    private var servesSince: ContinuousClock.Instant?

    mutating func cool() {
        isCold = true
    }

    mutating func begin(at now: ContinuousClock.Instant) {
        guard isCold else { return }
        isCold = false
        servesSince = now
    }

    func weight(at now: ContinuousClock.Instant) -> Double {
        if isCold { return Self.first }
        guard let servesSince else { return 1 }
        let progress = servesSince.duration(to: now) / Self.duration
        return min(max(Self.first + (1 - Self.first) * progress, Self.first), 1)
    }

    /// Whether it serves, and its share still grows.
    func grows(at now: ContinuousClock.Instant) -> Bool {
        guard !isCold, let servesSince else { return false }
        return servesSince.duration(to: now) < Self.duration
    }
}

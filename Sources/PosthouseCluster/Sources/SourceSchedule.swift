// SPDX-License-Identifier: Apache-2.0

/// When a source is asked next: a pure value.
///
/// Calm, every `interval`, give or take a tenth, so that many processes that started together do not ask together. While the
/// cluster looks for a primary every second at first, then less and less often. After failures with full jitter, twice as
/// long each time, hunt or no hunt: a source that is overwhelmed is not helped by questions.
struct SourceSchedule: Sendable {
    /// The least time between two questions, whoever wants to know.
    static let leastGap = Duration.seconds(1)
    /// The most that failures make it wait, unless the interval is longer.
    static let mostBackoff = Duration.seconds(30)

    private let interval: Duration
    private let leastGap: Duration
    private var lastAsked: ContinuousClock.Instant?
    private(set) var failures = 0
    private var draw = 0.5
    var huntingSince: ContinuousClock.Instant?

    init(interval: Duration, leastGap: Duration = SourceSchedule.leastGap) {
        self.leastGap = leastGap
        self.interval = max(interval, leastGap)
    }

    /// - Parameter random: Uniform in 0...1.
    mutating func asked(succeeded: Bool, at now: ContinuousClock.Instant, random: Double) {
        lastAsked = now
        failures = succeeded ? 0 : failures + 1
        draw = random
    }

    func due(now: ContinuousClock.Instant) -> ContinuousClock.Instant {
        guard let lastAsked else { return now }
        return lastAsked + gap(now: now)
    }

    private func gap(now: ContinuousClock.Instant) -> Duration {
        if failures > 0 {
            let ceiling = min(leastGap * (1 << min(failures, 10)), max(Self.mostBackoff, interval))
            return leastGap + (ceiling - leastGap) * draw
        }
        let calm = interval * (0.9 + 0.2 * draw)
        guard let huntingSince else { return max(calm, leastGap) }
        return max(min(huntingSince.duration(to: now) / 8, calm), leastGap)
    }
}

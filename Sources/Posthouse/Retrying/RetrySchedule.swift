// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// When work is run again, as a pure value: is told what failed and the time, and says how long to pause.
struct RetrySchedule {
    enum Step: Hashable {
        case pause(Duration)
        case giveUp(RetryError.Code)
    }

    /// How many runs have failed.
    private(set) var attempts = 0

    /// When the whole call ends; nil for never.
    let end: Moment?

    private let limits: RetryLimits

    init(_ limits: RetryLimits, now: Moment) {
        self.limits = limits
        end = limits.timeout.map { now + max($0, .zero) }
    }

    /// A run has failed in a way that lets it be run again.
    ///
    /// - Parameter random: Uniform in 0...1.
    mutating func failed(now: Moment, random: Double) -> Step {
        attempts += 1
        guard attempts < limits.attempts else { return .giveUp(.attemptsExhausted) }
        let doublings = min(attempts - 1, 20)
        let longest = min(limits.longestPause, limits.firstPause * (1 << doublings))
        let pause = max(longest, .zero) * min(max(random, 0), 1)
        if let end, now + pause >= end { return .giveUp(.timedOut) }
        return .pause(pause)
    }

    /// What is left of the time; nil for no limit.
    func left(now: Moment) -> Duration? { end.map { max(.zero, $0 - now) } }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Posthouse

@Suite struct RetryScheduleTests {
    private func schedule(_ limits: RetryLimits) -> RetrySchedule { RetrySchedule(limits, now: .seconds(100)) }

    @Test func pausesGrowUpToTheLongest() {
        let limits = RetryLimits(attempts: 7, firstPause: .milliseconds(10), longestPause: .milliseconds(100))
        var schedule = schedule(limits)
        let pauses = (1...6).map { _ in schedule.failed(now: .seconds(100), random: 1) }
        #expect(pauses == [10, 20, 40, 80, 100, 100].map { .pause(.milliseconds($0)) })
        #expect(schedule.failed(now: .seconds(100), random: 1) == .giveUp(.attemptsExhausted))
    }

    @Test func aPauseMayBeOfAnyLengthBelow() {
        var schedule = schedule(RetryLimits(firstPause: .milliseconds(10)))
        #expect(schedule.failed(now: .seconds(100), random: 0) == .pause(.zero))
        #expect(schedule.failed(now: .seconds(100), random: 0.25) == .pause(.milliseconds(5)))
    }

    @Test func aPauseThatWouldOutlastTheTimeIsNotMade() {
        var schedule = schedule(RetryLimits(timeout: .seconds(2), firstPause: .seconds(1), longestPause: .seconds(9)))
        #expect(schedule.failed(now: .seconds(100.5), random: 1) == .pause(.seconds(1)))
        #expect(schedule.left(now: .seconds(101.5)) == .seconds(0.5))
        #expect(schedule.failed(now: .seconds(101.5), random: 0.5) == .giveUp(.timedOut))
        #expect(schedule.left(now: .seconds(103)) == .zero)
    }

    @Test func withoutATimeTheAttemptsAreTheLimit() {
        var schedule = schedule(RetryLimits(attempts: 1000, timeout: nil))
        for _ in 1..<1000 {
            guard case .pause = schedule.failed(now: .seconds(1_000_000), random: 0.5) else {
                Issue.record("given up too early")
                return
            }
        }
        #expect(schedule.failed(now: .seconds(1_000_000), random: 0.5) == .giveUp(.attemptsExhausted))
        #expect(schedule.attempts == 1000 && schedule.left(now: .zero) == nil)
    }

    @Test(arguments: [1, 0, -3])
    func oneAttemptIsTheLeast(_ attempts: Int) {
        var schedule = schedule(RetryLimits(attempts: attempts))
        #expect(schedule.failed(now: .seconds(100), random: 0) == .giveUp(.attemptsExhausted))
    }

    @Test func limitsThatMakeNoSenseDoNoHarm() {
        var schedule = schedule(RetryLimits(timeout: .seconds(-1), firstPause: .seconds(-1), longestPause: .zero))
        #expect(schedule.failed(now: .seconds(100), random: 7) == .giveUp(.timedOut))
    }
}

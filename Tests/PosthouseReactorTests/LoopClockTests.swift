// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthouseReactor

@Suite struct LoopClockTests {
    private let clock = LoopClock()

    @Test(arguments: [Duration.nanoseconds(5), .milliseconds(1), .seconds(9), .seconds(10), .seconds(86_400 * 365)])
    func momentsAreAsFarApartInTicksAsInTime(distance: Duration) {
        let start = Moment.now
        let ticks = clock.ticks(start + distance) - clock.ticks(start)
        #expect(abs(ticks - LoopClock.length(distance)) <= 1)
        #expect(LoopClock.duration(ticks) <= distance + .nanoseconds(2))
    }

    @Test func theLoopStartsNearZero() {
        #expect((0..<LoopClock.length(.seconds(60))).contains(clock.now()))
    }

    @Test func aDeadlineIsRoundedUpAndNeverIsNever() {
        let instant = ContinuousClock.now + .seconds(20)
        let deadline = clock.deadline(Moment(instant))
        #expect(deadline > clock.ticks(Moment(instant)))
        #expect(LoopClock.length(.seconds(19)) < deadline && deadline < LoopClock.length(.seconds(80)))
        #expect(clock.deadline(.seconds(Int64.max)) == .max)
        #expect(clock.ticks(.seconds(-1_000_000)) < 0)
    }

    @Test func momentsAndInstantsAreEachOther() {
        let instant = ContinuousClock.now + .seconds(7)
        #expect(Moment(instant).instant == instant)
    }
}

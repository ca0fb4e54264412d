// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseCluster

/// When checks are due, in virtual time.
@Suite struct CheckScheduleTests {
    private let start = ContinuousClock.now

    @Test func theFirstCheckIsDueAtOnce() {
        let schedule = CheckSchedule(refreshDelay: .seconds(1))
        #expect(schedule.due(hasSession: false, now: start) == start)
    }

    @Test func calmChecksAreARefreshDelayApartWithJitter() {
        for draw in [0.0, 0.5, 1.0] {
            var schedule = CheckSchedule(refreshDelay: .seconds(1))
            schedule.checked(.answered, at: start, random: draw)
            let gap = start.duration(to: schedule.due(hasSession: true, now: start))
            #expect(gap >= .milliseconds(899) && gap <= .milliseconds(1101))
        }
    }

    @Test func aHuntAsksEveryFiveMillisecondsThenLessOften() {
        var schedule = CheckSchedule(refreshDelay: .seconds(1))
        schedule.huntingSince = start
        var last = Duration.zero
        for (second, expected) in [(0, 5), (3, 5), (9, 5), (30, 10), (120, 100), (3600, 1000)] {
            let now = start + .seconds(second)
            schedule.checked(.answered, at: now, random: 0.5)
            let gap = now.duration(to: schedule.due(hasSession: true, now: now))
            #expect(gap == .milliseconds(expected))
            #expect(gap >= last)
            last = gap
        }
    }

    @Test func aHuntAsksBusyServersLessOften() {
        var schedule = CheckSchedule(refreshDelay: .seconds(1))
        schedule.huntingSince = start
        for (took, expected) in [(0.1, 5.0), (0.6, 5), (1, 8), (5, 40), (500, 100)] {
            schedule.checked(.answered, at: start, took: .microseconds(Int(took * 1000)), random: 0.5)
            let gap = start.duration(to: schedule.due(hasSession: true, now: start))
            #expect(gap == .microseconds(Int(expected * 1000)))
        }
    }

    @Test func aHuntIsNeverCalmerThanCalm() {
        var schedule = CheckSchedule(refreshDelay: .milliseconds(20))
        schedule.huntingSince = start
        schedule.checked(.answered, at: start, took: .seconds(1), random: 0.5)
        #expect(start.duration(to: schedule.due(hasSession: true, now: start)) == .milliseconds(20))
    }

    /// A hunt checks a host that is kept out every 5 ms, and each check would open a session.
    @Test func aSessionThatWorksIsReplacedNowAndThenOnly() {
        var schedule = CheckSchedule(refreshDelay: .seconds(1))
        let renewed = (0..<200).filter { schedule.mayRenew(at: start + .milliseconds(5 * $0)) }
        #expect(renewed == [0, 50, 100, 150])
    }

    @Test func whoeverIsAskedToLooksAgainInCalmTooButNotAllTheTime() {
        var schedule = CheckSchedule(refreshDelay: .seconds(1))
        let looks = (0..<10).filter { schedule.looksAgain(at: start + .seconds($0), isAsked: true) }
        #expect(looks == [0, 3, 6, 9])
    }

    @Test func aHuntInVainLooksAgainWhereItsSessionsLeadNowAndThen() {
        var schedule = CheckSchedule(refreshDelay: .seconds(1))
        let calm = schedule.looksAgain(at: start + .seconds(3600))
        schedule.huntingSince = start
        let looks = (0..<2000).filter { schedule.looksAgain(at: start + .milliseconds(5 * $0)) }
        #expect(looks == [200, 800, 1400])
        schedule.huntingSince = nil
        let after = schedule.looksAgain(at: start + .seconds(60))
        #expect(!calm && !after)
    }

    @Test func aLostSessionIsReplacedAtOnceButFailuresBackOffWithJitter() {
        var schedule = CheckSchedule(refreshDelay: .seconds(1))
        schedule.huntingSince = start
        schedule.checked(.answered, at: start, random: 0.5)
        schedule.checked(.lostSession, at: start, random: 0.5)
        #expect(start.duration(to: schedule.due(hasSession: false, now: start)) == CheckSchedule.leastGap)
        var gaps: [Duration] = []
        for _ in 0..<8 {
            schedule.checked(.failedConnect, at: start, random: 1)
            gaps.append(start.duration(to: schedule.due(hasSession: false, now: start)))
        }
        #expect(gaps.first == .milliseconds(200))
        #expect(gaps.last == .milliseconds(1000))
        schedule.checked(.failedConnect, at: start, random: 0)
        #expect(start.duration(to: schedule.due(hasSession: false, now: start)) == .milliseconds(100))
    }

    @Test func attemptsAtAHostThatIsOnlySlowDoNotGetRarer() {
        var schedule = CheckSchedule(refreshDelay: .seconds(1))
        for _ in 0..<8 {
            schedule.checked(.overdue, at: start, random: 1)
            #expect(start.duration(to: schedule.due(hasSession: false, now: start)) == .milliseconds(200))
        }
    }

    @Test func whoeverAsksIsAnsweredAtOnceButNotMoreOftenThanTheLeastGap() {
        var schedule = CheckSchedule(refreshDelay: .seconds(1))
        schedule.checked(.answered, at: start, random: 0.5)
        #expect(schedule.dueOnRequest(hasSession: true, now: start) == start)
        schedule.beginsOnRequest()
        let end = start + .milliseconds(40)
        schedule.checked(.answered, at: end, random: 0.5)
        // From its end on: a slow server is not asked without a pause.
        #expect(schedule.dueOnRequest(hasSession: true, now: end) == end + CheckSchedule.leastGap)
        schedule.checked(.answered, at: end + .milliseconds(4), random: 0.5)
        #expect(schedule.dueOnRequest(hasSession: true, now: end) == end + CheckSchedule.leastGap)
    }

    @Test func whereNoSessionIsOpenNobodyCanHurryTheNextOne() {
        var schedule = CheckSchedule(refreshDelay: .seconds(1))
        schedule.checked(.failedConnect, at: start, random: 0.5)
        #expect(start.duration(to: schedule.dueOnRequest(hasSession: false, now: start)) >= .milliseconds(100))
    }
}

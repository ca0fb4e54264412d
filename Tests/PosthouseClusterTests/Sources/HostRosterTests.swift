// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseCluster

@Suite struct HostRosterTests {
    private typealias Roster = HostRoster<String>

    private let rules = SourceRules(absences: 3, removalDelay: .seconds(30), drainTimeout: .seconds(10))
    private let start = ContinuousClock.now

    /// Answers, ten seconds apart, while "a" is the primary and all are in use.
    private func run(
        _ answers: [[String]],
        rules: SourceRules? = nil,
        sight: (String) -> Roster.Sight = { Roster.Sight(isPrimary: $0 == "a", isInUse: true) }
    ) -> [[Roster.Action]] {
        var roster = Roster(rules: rules ?? self.rules)
        return answers.enumerated().map { index, hosts in
            roster.answered(hosts.map { SourcedHost($0) }, now: start + .seconds(10) * index, sight: sight)
        }
    }

    @Test func whoIsNamedIsAddedAtOnceAndOnce() {
        let both: [Roster.Action] = [.add("a", takesReads: true), .add("b", takesReads: true)]
        #expect(run([["a", "b", "a"], ["a", "b"]]) == [both, []])
    }

    @Test func whoIsMissingOftenAndLongEnoughIsDrained() {
        let actions = run([["a", "b"], ["a"], ["a"], ["a"], ["a"], ["a"]])
        #expect(actions[1...3].allSatisfy { $0.isEmpty }, "three times, but only for 20 s")
        #expect(actions[4] == [.drain("b")])
        #expect(actions[5].isEmpty)
    }

    @Test func oneOddAnswerChangesNothing() {
        let actions = run([["a", "b"], ["a"], ["a", "b"], ["a"], ["a"], ["a", "b"], ["a"], ["a"], ["a"]])
        #expect(actions.dropFirst().allSatisfy { $0.isEmpty })
    }

    @Test func anEmptyAnswerNeitherCountsNorTakesAnybodyAway() {
        let actions = run([["a", "b"], [], [], [], [], [], ["a"], [], [], [], []])
        #expect(actions.dropFirst().allSatisfy { $0.isEmpty })
    }

    @Test func thePrimaryStaysUntilAnotherOneIs() {
        var primary = "b"
        var roster = Roster(rules: rules)
        func answer(_ hosts: [String], at second: Int) -> [Roster.Action] {
            roster.answered(hosts.map { SourcedHost($0) }, now: start + .seconds(second)) {
                Roster.Sight(isPrimary: $0 == primary, isInUse: true)
            }
        }
        _ = answer(["a", "b"], at: 0)
        for second in 1...100 { #expect(answer(["a"], at: second).isEmpty) }
        primary = "a"
        #expect(answer(["a"], at: 101) == [.drain("b")])
    }

    @Test func whileNobodyWhoIsNamedIsInUseNobodyGoes() {
        // As when a name suddenly leads to a wholly different place.
        let actions = run([["a", "b"]] + Array(repeating: ["x", "y"], count: 50)) {
            Roster.Sight(isPrimary: $0 == "a", isInUse: $0 != "x" && $0 != "y")
        }
        #expect(actions[1] == [.add("x", takesReads: true), .add("y", takesReads: true)])
        #expect(actions.dropFirst(2).allSatisfy { $0.isEmpty })
    }

    @Test func aDrainedHostThatIsNamedAgainServesAgain() {
        var roster = Roster(rules: rules)
        let all: (String) -> Roster.Sight = { _ in Roster.Sight(isInUse: true) }
        for second in [0, 10, 20, 30, 40] {
            let named = second == 0 ? ["a", "b"] : ["a"]
            _ = roster.answered(named.map { SourcedHost($0) }, now: start + .seconds(second), sight: all)
        }
        #expect(roster.draining == ["b"])
        let actions = roster.answered([SourcedHost("a"), SourcedHost("b")], now: start + .seconds(45), sight: all)
        #expect(actions == [.undrain("b")])
        #expect(roster.looked(now: start + .seconds(100), isIdle: { _ in true }).isEmpty)
    }

    @Test func aDrainedHostIsRemovedWhenNothingRunsThereOrItsTimeIsOver() {
        for waits in [false, true] {
            var roster = Roster(rules: rules)
            let all: (String) -> Roster.Sight = { _ in Roster.Sight(isInUse: true) }
            for second in [0, 10, 20, 30, 40] {
                let named = second == 0 ? ["a", "b"] : ["a"]
                _ = roster.answered(named.map { SourcedHost($0) }, now: start + .seconds(second), sight: all)
            }
            #expect(roster.looked(now: start + .seconds(49), isIdle: { _ in false }).isEmpty)
            let end = start + .seconds(waits ? 50 : 49)
            #expect(roster.looked(now: end, isIdle: { _ in !waits }) == [.remove("b")])
            #expect(roster.endpoints == ["a"])
            let again = roster.answered([SourcedHost("a"), SourcedHost("b")], now: end, sight: all)
            #expect(again == [.add("b", takesReads: true)])
        }
    }

    @Test func theWishForNoReadsIsPassedOnAtOnce() {
        var roster = Roster(rules: rules)
        let none: (String) -> Roster.Sight = { _ in Roster.Sight() }
        #expect(
            roster.answered([SourcedHost("a"), SourcedHost("b", takesReads: false)], now: start, sight: none)
                == [.add("a", takesReads: true), .add("b", takesReads: false)]
        )
        #expect(
            roster.answered([SourcedHost("a", takesReads: false), SourcedHost("b")], now: start, sight: none)
                == [.allowReads("a", false), .allowReads("b", true)]
        )
    }
}

@Suite struct SourceScheduleTests {
    private let start = ContinuousClock.now

    @Test func theFirstQuestionIsAskedAtOnceAndTheNextOneAfterTheInterval() {
        var schedule = SourceSchedule(interval: .seconds(10))
        #expect(schedule.due(now: start) == start)
        schedule.asked(succeeded: true, at: start, random: 0)
        #expect(schedule.due(now: start) == start + .seconds(9))
        schedule.asked(succeeded: true, at: start, random: 1)
        #expect(schedule.due(now: start) == start + .seconds(11))
    }

    @Test func noTwoQuestionsAreCloserThanASecond() {
        var schedule = SourceSchedule(interval: .zero)
        for random in [0, 0.5, 1] {
            for succeeded in [true, false] {
                for hunts in [true, false] {
                    schedule.huntingSince = hunts ? start : nil
                    schedule.asked(succeeded: succeeded, at: start, random: random)
                    #expect(schedule.due(now: start) >= start + .seconds(1))
                }
            }
        }
    }

    @Test func aHuntAsksEverySecondAtFirstAndThenLessOften() {
        var schedule = SourceSchedule(interval: .seconds(60))
        schedule.asked(succeeded: true, at: start, random: 0.5)
        schedule.huntingSince = start
        #expect(schedule.due(now: start) == start + .seconds(1))
        #expect(schedule.due(now: start + .seconds(80)) == start + .seconds(10))
        #expect(schedule.due(now: start + .seconds(8000)) == start + .seconds(60))
    }

    @Test func failuresBackOffWithFullJitterUpToALimit() {
        for random in [0, 1.0] {
            var schedule = SourceSchedule(interval: .seconds(10))
            var gaps: [Duration] = []
            for _ in 0..<40 {
                schedule.asked(succeeded: false, at: start, random: random)
                gaps.append(start.duration(to: schedule.due(now: start)))
            }
            let most: [Duration] = [.seconds(2), .seconds(4), .seconds(8), .seconds(16), .seconds(30)]
            #expect(Array(gaps.prefix(5)) == (random == 0 ? Array(repeating: .seconds(1), count: 5) : most))
            #expect(gaps.allSatisfy { $0 <= .seconds(30) })
        }
    }
}

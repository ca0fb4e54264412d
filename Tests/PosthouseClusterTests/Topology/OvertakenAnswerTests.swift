// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster

/// Answers that come in another order than they were given, or from another server than the one that is asked.
@Suite struct OvertakenAnswerTests {
    /// A question may be answered after a later one: on a connection that was slow to open, say.
    @Test func whomAReplicaFollowedOnAnEarlierTimelineIsNoVoteAboutALaterOne() {
        var script = MachineScript.healthy()
        script.answer(1, script.primary(timeline: 2, run: 200))
        script.answer(2, script.replica(timeline: 2, run: 300, of: "db2:5432"))
        // A copy of the new primary, and what db3 said when it followed the one whose place that took.
        script.answer(0, script.primary(timeline: 2, run: 101))
        let late = script.replica(timeline: 1, run: 300, of: "db1:5432")
        script.admit(2, late, asked: script.now - .milliseconds(1))
        #expect(script.machine.hosts[2].report?.upstream == "db2:5432")
        #expect(script.services == [[], .primary, .replica])
        script.answer(2, late)
        #expect(script.machine.hosts[2].report?.upstream == nil, "that is not what it follows now")
        #expect(script.services == [[], .primary, .replica])
    }

    /// The number that a receiver told goes with it. Whom it followed is old by then, and may be gone for good.
    @Test(arguments: [1, nil] as [UInt32?]) func whoHasStoppedFollowingVotesForNobody(timeline: UInt32?) {
        var script = MachineScript.healthy()
        script.answer(1, script.primary(timeline: 2, run: 200))
        script.answer(2, script.replica(timeline: 2, run: 300, of: "db2:5432"))
        script.answer(2, script.replica(timeline: timeline, run: 300))
        #expect(script.machine.hosts[2].report?.timeline == 2)
        script.fail(1)
        script.answer(0, script.primary(timeline: 2, run: 101))
        script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(script.services == [.primary, [], .replica])
    }

    /// db3 is pointed at a copy of the primary, which is to take its place without a promotion.
    private func repointed() -> (script: MachineScript, early: ContinuousClock.Instant) {
        var script = MachineScript.healthy()
        script.answer(2, script.replica(run: 300, of: "db1:5432"))
        script.now += .milliseconds(10)
        let early = script.now
        script.now += .milliseconds(190)
        script.answer(1, script.primary(run: 201))
        // Its check had begun with a connect, before the other question was put.
        let report = script.replica(run: 300, of: "db2:5432")
        script.handle(.reported(host: 2, report, asked: early - .milliseconds(5)))
        #expect(script.services == [[], .primary, .replica])
        return (script, early)
    }

    @Test(arguments: ["db1:5432", nil]) func ofTwoAnswersNobodyKnowsWhichIsLaterAndNoneVotes(upstream: String?) {
        var (script, early) = repointed()
        let actions = script.admit(2, script.replica(run: 300, of: upstream), asked: early)
        #expect(script.services == [[], .primary, .replica])
        #expect(script.machine.hosts[2].report?.upstream == nil)
        #expect(actions.contains(.check(host: 2)), "it is asked again")
        script.now += .milliseconds(1)
        script.answer(2, script.replica(run: 300, of: "db1:5432"))
        #expect(script.services == [.primary, [], .replica], "it is pointed back")
    }

    /// Of many connections that are opened each asks before the others have their answers.
    @Test func whoIsAskedAllTheTimeIsKnownToFollowAnotherWhenOneWasAskedAfterTheLastOtherwise() {
        var script = MachineScript.healthy()
        func answer(_ upstream: String) -> String? {
            script.now += .milliseconds(1)
            script.admit(2, script.replica(run: 300, of: upstream), asked: script.now - .milliseconds(3))
            return script.machine.hosts[2].report?.upstream
        }
        #expect((1...4).map { _ in answer("db1:5432") } == [nil, nil, "db1:5432", "db1:5432"])
        #expect((1...4).map { _ in answer("db2:5432") } == [nil, nil, "db2:5432", "db2:5432"])
    }

    @Test func whatWasAskedAfterTheLastAnswerCameIsLater() {
        var (script, _) = repointed()
        let actions = script.admit(2, script.replica(run: 300, of: "db1:5432"))
        #expect(script.services == [.primary, [], .replica])
        #expect(!actions.contains(.check(host: 2)))
    }

    /// A vote that an answer of before may have taken away.
    @Test func whoIsSaidToHaveFollowedNobodyIsAskedAgain() {
        var script = MachineScript.healthy()
        let early = script.now - .milliseconds(10)
        script.answer(1, script.primary(timeline: 2, run: 200))
        script.answer(2, script.replica(timeline: 2, run: 300, of: "db2:5432"))
        #expect(script.admit(2, script.replica(run: 300), asked: early).contains(.check(host: 2)))
        // Nor is known whether this was given before that one.
        script.admit(2, script.replica(timeline: 2, run: 300, of: "db2:5432"), asked: early)
        #expect(script.machine.hosts[2].report?.upstream == nil)
        #expect(!script.answer(2, script.replica(run: 300)).contains(.check(host: 2)))
    }

    /// A receiver that has ended takes the number with it that only it has told, and nothing follows from that for anybody.
    @Test func aTimelineThatIsNotToldAnyMoreIsRoutine() {
        var script = MachineScript.healthy()
        for report in [script.replica(timeline: nil, run: 300), script.replica(timeline: 0, run: 300)] {
            let isRoutine = script.machine.takeRoutinely(report, of: 2, asked: script.now, now: script.now)
            #expect(isRoutine)
            #expect(script.machine.hosts[2].report?.timeline == 1)
        }
    }

    /// Two replicas share db2's address. A connection to the other one was let in before it was known that the first one is on
    /// another timeline, or was promoted.
    @Test func whoeverWasLetInAsASiblingIsRememberedWhenItIsNoneAnyMore() {
        var script = MachineScript.healthy()
        script.handle(.admitted(host: 2, script.replica(run: 900), asked: script.now, as: .another))
        #expect(!script.machine.hosts[2].isShared, "that one was refused")
        script.answer(1, script.replica(timeline: 2, run: 200))
        let late = TopologyMachine.Event.admitted(host: 1, script.replica(run: 900), asked: script.now, as: .aSibling)
        script.handle(late)
        #expect(script.answer(1, script.primary(timeline: 2, run: 200)).contains(.fence(host: 1)))
        #expect(script.services[1] == .primary)
        #expect(script.handle(late).contains(.fence(host: 1)), "its connection is not one to the primary")
        #expect(script.services[1] == .primary)
    }

    /// The connection was judged before the new run was known, and its answer is taken down afterwards.
    @Test func anAnswerOfARunThatIsOverEndsNotTheNewOne() {
        var script = MachineScript.healthy()
        script.answer(0, script.primary(run: 101))
        let actions = script.admit(0, script.primary(run: 100))
        #expect(!actions.contains(.fence(host: 0)))
        #expect(actions.contains(.check(host: 0)))
        #expect(script.services == [.primary, .replica, .replica])
        // Nor is it a sign of life of a server that is gone by now.
        let early = script.now
        script.now += .milliseconds(10)
        script.fail(0)
        script.admit(0, script.primary(run: 100), asked: early)
        #expect(script.services == [[], .replica, .replica])
        #expect(script.machine.isHunting)
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster

/// Who decides when the primary still answers and a higher timeline appears, or when two claim the same one.
@Suite struct FencingPolicyTests {
    /// db2 was promoted; db1 has not noticed.
    private func disputed(_ fencing: FencingRule) -> MachineScript {
        var script = MachineScript.healthy(fencing: fencing)
        script.answer(1, script.primary(timeline: 2, run: 200))
        return script
    }

    // MARK: Refuse

    @Test func whileItIsDisputedNobodyTakesWrites() {
        var script = MachineScript.healthy(fencing: .refuse)
        let actions = script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(actions.contains(.fence(host: 0)), "nothing is sent to the old primary, whoever is right")
        #expect(script.services == [[], [], .replica])
        #expect(script.machine.hosts[0].reason == "disputed: it still answers as the primary, though timeline 2 exists")
        #expect(
            script.machine.hosts[1].reason
                == "disputed: db1:5432 still answers as the primary of a lower timeline"
        )
        for _ in 0..<10 { script.answer(0, 1, 2) }
        #expect(script.services == [[], [], .replica])
        #expect(script.machine.isHunting)
    }

    @Test(arguments: [HostFailure.Kind.refused, .starting])
    func theDisputeIsOverWhenTheOldPrimaryIsGone(kind: HostFailure.Kind) {
        var script = disputed(.refuse)
        script.fail(0, kind)
        #expect(script.services == [[], .primary, .replica])
    }

    @Test func theDisputeIsOverWhenTheOldPrimaryIsAReplica() {
        var script = disputed(.refuse)
        script.answer(0, script.replica(timeline: 2, run: 101))
        #expect(script.services == [.replica, .primary, .replica])
    }

    @Test func theOperatorDecidesForTheHigherTimeline() {
        var script = disputed(.refuse)
        script.handle(.preferred(host: 1))
        #expect(script.services == [[], .primary, .replica])
        script.answer(0)
        #expect(script.machine.hosts[0].reason == "stale primary: it is on timeline 1, the cluster is on 2")
    }

    @Test func theOperatorDecidesForTheOldPrimary() {
        var script = disputed(.refuse)
        script.handle(.preferred(host: 0))
        #expect(script.services == [.primary, [], .replica])
        #expect(script.machine.hosts[1].reason == "decided against: another host was chosen as the primary")
        script.answer(1, 0, 2)
        #expect(script.services == [.primary, [], .replica])
        script.fail(0)
        #expect(script.services == [[], [], .replica], "a decision outlives its winner")
        script.answer(1, script.primary(timeline: 3, run: 200))
        #expect(script.services == [[], .primary, .replica], "this it was not about")
    }

    /// The operator chose db1 although db2 is on timeline 2.
    private func decided(_ fencing: FencingRule) -> MachineScript {
        var script = MachineScript.healthy(hosts: 4, fencing: fencing)
        script.answer(1, script.primary(timeline: 2, run: 200))
        script.now += .milliseconds(10)
        script.handle(.preferred(host: 0))
        script.now += .milliseconds(10)
        return script
    }

    @Test(arguments: [FencingRule.follow, .refuse, .witness])
    func aReplicaOfTheOtherSideReopensNothing(fencing: FencingRule) {
        var script = decided(fencing)
        script.answer(2, script.replica(timeline: 2, run: 300, of: "db2:5432"))
        script.answer(0, 1, 3)
        #expect(script.services == [.primary, [], [], .replica])
        #expect(script.machine.hosts[2].reason == "decided against: another host was chosen as the primary")
        script.answer(2, script.replica(timeline: 1, run: 301))
        #expect(script.services == [.primary, [], .replica, .replica], "it follows the chosen one now")
    }

    @Test func neitherDoesANewRunOfTheOtherSide() {
        var script = decided(.follow)
        script.answer(1, script.primary(timeline: 2, run: 201))
        script.admit(3, script.primary(timeline: 2, run: 202))
        #expect(script.services == [.primary, [], .replica, .replica])
        script.fail(0)
        #expect(script.machine.primary == nil, "a decision outlives its winner")
    }

    @Test func aHigherTimelineIsNewerThanTheDecision() {
        var script = decided(.follow)
        script.answer(2, script.primary(timeline: 3, run: 300))
        #expect(script.services == [[], [], .primary, .replica])
    }

    /// Without a common archive it gets the number that the other side has.
    @Test func aPromotionOnTheChosenSideThatIsSeenCounts() {
        var script = decided(.follow)
        script.answer(0, 1, 2, 3)
        script.fail(0)
        script.answer(2, script.primary(timeline: 2, run: 300))
        #expect(script.services == [[], [], .primary, .replica])
        script.answer(3, script.replica(timeline: 2, run: 400))
        script.answer(0, script.primary(timeline: 1, run: 101))
        script.answer(1)
        #expect(script.services == [[], [], .primary, .replica])
        #expect(script.machine.hosts[0].state == .quarantined)
        #expect(script.machine.hosts[1].state == .quarantined)
    }

    /// With that promotion the decision has had its day; what the other side says from then on is known, though it says nothing
    /// new.
    @Test func aHigherTimelineOfTheOtherSideIsKnownWhenTheDecisionIsOver() {
        var script = MachineScript.healthy(hosts: 4)
        script.answer(1, script.primary(timeline: 3, run: 200))
        script.now += .milliseconds(10)
        script.handle(.preferred(host: 0))
        script.now += .milliseconds(10)
        script.answer(0, 2)
        script.answer(3, script.replica(timeline: 3, run: 400))
        #expect(script.services == [.primary, [], .replica, []])
        script.fail(0)
        script.answer(2, script.primary(timeline: 2, run: 300))
        #expect(script.machine.primary == 2)
        script.answer(3)
        #expect(script.machine.highestTimeline == 3)
        #expect(script.machine.primary == nil, "nothing is sent to below the highest timeline")
    }

    @Test func aPromotionThatMayHaveBeenBeforeTheDecisionDoesNot() {
        var script = decided(.follow)
        // Nobody has heard of it since.
        script.answer(2, script.primary(timeline: 2, run: 300))
        #expect(script.services == [.primary, [], [], .replica])
        script.handle(.preferred(host: 2))
        #expect(script.services == [[], [], .primary, .replica])
    }

    @Test func whoeverClaimsNothingIsNotMadeThePrimary() {
        var script = disputed(.refuse)
        script.handle(.preferred(host: 2))
        #expect(script.services == [[], [], .replica])
    }

    @Test func withoutAnIncumbentTheHighestTimelineIsFollowed() {
        var script = MachineScript.healthy(fencing: .refuse)
        script.fail(0)
        script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(script.services == [[], .primary, .replica])
        script.answer(0, script.primary(run: 101))
        #expect(script.services == [[], .primary, .replica], "who comes back is no incumbent")
    }

    @Test func theFirstElectionAsksNobody() {
        for fencing in [FencingRule.refuse, .witness] {
            var script = MachineScript(fencing: fencing)
            script.answer(0, script.primary())
            script.answer(1, script.primary(timeline: 2, run: 200))
            script.answer(2, script.replica(run: 300))
            #expect(script.services == [[], .primary, .replica])
        }
    }

    // MARK: Witness

    @Test func theWitnessIsAskedOnceAndDecides() {
        var script = MachineScript.healthy(fencing: .witness)
        let actions = script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(actions.contains(.askWitness(question: 1)))
        #expect(script.services == [[], [], .replica])
        #expect(!script.answer(0, 1).contains(.askWitness(question: 2)))
        script.handle(.testified(question: 1, host: "db2:5432"))
        #expect(script.services == [[], .primary, .replica])
    }

    @Test func theWitnessMayKnowThatTheOldPrimaryIsRight() {
        var script = disputed(.witness)
        script.handle(.testified(question: 1, host: "db1:5432"))
        #expect(script.services == [.primary, [], .replica])
        #expect(script.machine.highestTimeline == 1)
        // Only whom it decided against is left: it is asked again.
        let actions = script.fail(0)
        #expect(script.services == [[], [], .replica])
        #expect(actions.contains(.askWitness(question: 2)))
        script.handle(.testified(question: 2, host: "db2:5432"))
        #expect(script.services == [[], .primary, .replica])
    }

    @Test(arguments: [nil, "db3:5432", "nobody:1"])
    func aWitnessWithoutAUsableAnswerIsAskedAgain(answer: String?) {
        var script = disputed(.witness)
        script.handle(.testified(question: 1, host: answer))
        #expect(script.services == [[], [], .replica])
        #expect(script.machine.wakeAt == script.now + .seconds(1))
        #expect(script.pass(.seconds(1)).contains(.askWitness(question: 2)))
        script.fail(0)
        #expect(script.services == [[], .primary, .replica], "with one of the two gone there is no question")
    }

    @Test func aLateAnswerToAnOldQuestionDecidesNothing() {
        var script = disputed(.witness)
        script.handle(.testified(question: 1, host: nil))
        script.handle(.testified(question: 1, host: "db1:5432"))
        #expect(script.services == [[], [], .replica])
    }

    @Test func theWitnessIsAskedAboutEqualsThatNothingTellsApart() {
        var script = MachineScript(hosts: 2, fencing: .witness)
        script.answer(0, script.primary())
        let actions = script.answer(1, script.primary(run: 200))
        #expect(actions.contains(.askWitness(question: 1)))
        #expect(script.services == [[], []])
        script.handle(.testified(question: 1, host: "db2:5432"))
        script.answer(0, 1)
        #expect(script.services == [[], .primary])
    }

    // MARK: Equal timelines

    @Test func ofTwoEqualsTheOneIsUsedThatTheReplicasFollow() {
        var script = MachineScript()
        script.answer(0, script.primary())
        script.answer(2, script.replica(run: 300, of: "db2:5432"))
        script.answer(1, script.primary(run: 200))
        #expect(script.services == [[], .primary, .replica])
        #expect(script.machine.hosts[0].state == .quarantined)
    }

    @Test func aServerIsKnownByItsOwnAddressToo() {
        var script = MachineScript()
        script.answer(0, script.primary())
        script.answer(2, script.replica(run: 300, of: "10.0.0.2:5432"))
        var second = script.primary(run: 200)
        second.address = "10.0.0.2:5432"
        script.answer(1, second)
        #expect(script.services == [[], .primary, .replica])
    }

    /// A copy of the new primary is started where the former one was, and a replica has not been asked since.
    @Test func whomAReplicaFollowedBeforeThePromotionIsNotWhomItFollows() {
        var script = MachineScript.healthy()
        script.answer(2, script.replica(run: 300, of: "db1:5432"))
        script.answer(1, script.primary(timeline: 2, run: 200))
        script.answer(0, script.primary(timeline: 2, run: 101))
        #expect(script.machine.primary == 1)
        #expect(script.machine.hosts[0].state == .quarantined)
        script.answer(2, script.replica(timeline: 2, run: 300, of: "db2:5432"))
        #expect(script.machine.primary == 1)
    }

    @Test func aTieOfFollowersDecidesNothing() {
        var script = MachineScript(hosts: 4)
        script.answer(0, script.primary())
        script.answer(2, script.replica(run: 300, of: "db1:5432"))
        script.answer(3, script.replica(run: 400, of: "db2:5432"))
        script.answer(1, script.primary(run: 200))
        #expect(script.services == [[], [], .replica, .replica])
    }

    @Test func noHostIsWaitedForToDecide() {
        var script = MachineScript(hosts: 5)
        script.answer(0, script.primary())
        for silent in 3..<5 { script.fail(silent, .timedOut) }
        script.answer(2, script.replica(run: 300, of: "db1:5432"))
        script.answer(1, script.primary(run: 200))
        #expect(script.machine.primary == 0)
    }

    @Test func againstTheIncumbentItTakesMostOfAllHosts() {
        var script = MachineScript.healthy(hosts: 5)
        script.answer(1, script.primary(run: 201))
        script.answer(2, script.replica(run: 301, of: "db2:5432"))
        #expect(script.machine.primary == 0, "one may belong to a copy that was set up by mistake")
        script.answer(3, script.replica(run: 401, of: "db2:5432"))
        #expect(script.machine.primary == 1)
        #expect(script.machine.hosts[0].state == .quarantined)
    }

    @Test func anotherNameOfTheLoserIsKeptOutToo() {
        var script = MachineScript(hosts: 3)
        script.answer(2, script.primary(run: 300))
        script.handle(.graceEnded)
        script.answer(0, script.primary())
        script.answer(1, script.primary())
        #expect(script.machine.primary == 2)
        #expect(script.machine.hosts.map(\.state) == [.quarantined, .quarantined, .up])
    }

    // MARK: Adoption

    @Test func afterAnUpgradeTheNewIdentityIsAdopted() {
        var script = MachineScript.healthy()
        script.answer(0, script.primary(timeline: 1, system: 8, run: 900))
        #expect(script.services == [[], .replica, .replica])
        let actions = script.handle(.adopted(systemIdentifier: 8))
        #expect(actions.events.contains(.adopted(systemIdentifier: 8)))
        #expect(script.services == [.primary, [], []], "the old ones are foreign now")
        #expect(script.machine.hosts[1].reason?.contains("another cluster") == true)
        #expect(script.machine.systemIdentifier == 8)
    }

    @Test func aLowerTimelineOfTheNewIdentityIsNotStale() {
        var script = MachineScript.healthy()
        script.answer(0, script.primary(timeline: 9))
        script.handle(.adopted(systemIdentifier: 8))
        script.answer(0, script.primary(timeline: 1, system: 8, run: 900))
        #expect(script.machine.primary == 0)
    }

    @Test func leasesOnTheOldClusterAreVoidEvenIfItIsDown() {
        var script = MachineScript.healthy()
        script.fail(0)
        #expect(script.handle(.adopted(systemIdentifier: 8)).contains(.fence(host: 0)))
    }

    @Test func afterARestoreTheHighestTimelineIsForgotten() {
        var script = MachineScript.healthy()
        script.fail(0)
        script.answer(1, script.primary(timeline: 2, run: 200))
        script.fail(1)
        script.answer(0, script.primary(timeline: 1, run: 101))
        #expect(script.machine.hosts[0].state == .quarantined)
        script.handle(.adopted(systemIdentifier: 7))
        #expect(script.machine.primary == 0)
        #expect(script.machine.highestTimeline == 1)
    }
}

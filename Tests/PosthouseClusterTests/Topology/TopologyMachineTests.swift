// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster

/// The machine by script: what was seen, and exactly what follows.
@Suite struct TopologyMachineTests {
    private let start = ContinuousClock.now

    private func cluster(_ hosts: Int = 3) -> TopologyMachine {
        TopologyMachine(labels: (1...hosts).map { "db\($0):5432" })
    }

    private func primary(timeline: UInt32? = 1, system: UInt64? = 7, run: Int64 = 100) -> HostReport {
        HostReport(isInRecovery: false, systemIdentifier: system, timeline: timeline, incarnation: run)
    }

    private func replica(timeline: UInt32? = 1, system: UInt64? = 7, run: Int64 = 200) -> HostReport {
        HostReport(isInRecovery: true, systemIdentifier: system, timeline: timeline, incarnation: run)
    }

    private func services(_ machine: TopologyMachine) -> [ServiceClass] { machine.hosts.map(\.serves) }

    @discardableResult
    private func report(_ machine: inout TopologyMachine, _ host: Int, _ report: HostReport) -> [TopologyMachine.Action]
    {
        machine.handle(.reported(host: host, report, asked: start), now: start)
    }

    @discardableResult
    private func fail(
        _ machine: inout TopologyMachine,
        _ host: Int,
        _ kind: HostFailure.Kind,
        fresh: Bool = true
    ) -> [TopologyMachine.Action] {
        machine.handle(.failed(host: host, HostFailure(kind, reason: "because"), fresh: fresh), now: start)
    }

    /// A primary on db1, replicas on db2 and db3.
    private func healthy() -> TopologyMachine {
        var machine = cluster()
        report(&machine, 0, primary())
        report(&machine, 1, replica(run: 200))
        report(&machine, 2, replica(run: 300))
        return machine
    }

    /// Its connections to the others are no way to the primary, and those to the server that was promoted cannot be told apart.
    @Test func connectionsOfASharedAddressAreGivenUpWhenItBecomesThePrimary() {
        var script = MachineScript.healthy()
        script.admit(1, script.replica(run: 900))
        let actions = script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(actions.contains(.fence(host: 1)))
        #expect(script.machine.primary == 1)
        script = MachineScript.healthy()
        #expect(!script.answer(1, script.primary(timeline: 2, run: 200)).contains(.fence(host: 1)))
    }

    @Test func theFirstPrimaryEndsTheHunt() {
        var machine = cluster()
        #expect(machine.isHunting)
        report(&machine, 1, replica())
        report(&machine, 2, replica())
        let actions = report(&machine, 0, primary())
        #expect(actions.contains(.serve(host: 0, .primary)))
        #expect(actions.contains(.hunt(false)))
        #expect(machine.primary == 0)
    }

    @Test func replicasServeReadsBeforeThereIsAPrimary() {
        var machine = cluster()
        #expect(report(&machine, 1, replica()).contains(.serve(host: 1, .replica)))
        #expect(machine.isHunting)
    }

    @Test func aRefusedConnectionTakesThePrimaryOutAtOnceAndStartsTheHunt() {
        var machine = healthy()
        let actions = fail(&machine, 0, .refused)
        #expect(actions.contains(.serve(host: 0, [])))
        #expect(actions.contains(.expire(host: 0)))
        #expect(actions.contains(.hunt(true)))
        #expect(machine.hosts[0].state == .down)
    }

    @Test func aPromotedReplicaTakesTheWritesAndItsConnectionsAreKept() {
        var machine = healthy()
        fail(&machine, 0, .refused)
        let actions = report(&machine, 1, primary(timeline: 2, run: 200))
        #expect(actions.contains(.serve(host: 1, .primary)))
        #expect(!actions.contains(.expire(host: 1)))
        #expect(!actions.contains(.fence(host: 1)))
        #expect(services(machine) == [[], .primary, .replica])
    }

    @Test func theOldPrimaryBackAsItWasIsQuarantinedAndSaysWhy() {
        var machine = healthy()
        fail(&machine, 0, .refused)
        report(&machine, 1, primary(timeline: 2, run: 200))
        let actions = report(&machine, 0, primary(timeline: 1, run: 101))
        #expect(actions.contains(.fence(host: 0)))
        #expect(machine.hosts[0].state == .quarantined)
        #expect(machine.hosts[0].reason == "stale primary: it is on timeline 1, the cluster is on 2")
        #expect(services(machine) == [[], .primary, .replica])
    }

    @Test func aHigherTimelineFencesAPrimaryThatStillAnswers() {
        var machine = healthy()
        let actions = report(&machine, 1, primary(timeline: 2, run: 200))
        #expect(actions.firstIndex(of: .fence(host: 0))! < actions.firstIndex(of: .serve(host: 1, .primary))!)
        #expect(machine.primary == 1)
    }

    @Test func aReplicaOnAHigherTimelineIsEvidenceEnough() {
        var machine = healthy()
        let actions = report(&machine, 2, replica(timeline: 2, run: 300))
        #expect(actions.contains(.fence(host: 0)))
        #expect(machine.primary == nil)
        #expect(machine.isHunting)
    }

    @Test func aQuarantinedHostThatComesBackAsAReplicaServesReads() {
        var machine = healthy()
        report(&machine, 1, primary(timeline: 2, run: 200))
        let actions = report(&machine, 0, replica(timeline: 2, run: 102))
        #expect(actions.contains(.serve(host: 0, .replica)))
        #expect(machine.hosts[0].state == .up)
    }

    // MARK: The first election

    @Test func theFirstPrimaryIsElectedWhenAllHostsWereHeardOf() {
        var machine = cluster()
        let actions = report(&machine, 0, primary(timeline: 1))
        #expect(actions.contains(.beginGrace))
        #expect(machine.primary == nil)
        #expect(machine.hosts[0].state == .up)
        #expect(machine.hosts[0].reason == "waiting for the first answers of the other hosts")
        #expect(!report(&machine, 1, primary(timeline: 2)).contains(.beginGrace), "once")
        #expect(machine.primary == nil)
        fail(&machine, 2, .refused)
        #expect(services(machine) == [[], .primary, []], "the stale one that answered first never served")
        #expect(machine.hosts[0].state == .quarantined)
    }

    @Test func aHostThatDoesNotAnswerHoldsTheFirstElectionUpForTheGraceOnly() {
        var machine = cluster()
        report(&machine, 0, primary())
        let actions = machine.handle(.graceEnded, now: start)
        #expect(actions.contains(.serve(host: 0, .primary)))
        #expect(machine.primary == 0)
    }

    /// db2 is a copy of db1, on its timeline, and db3 follows db1; the grace is over, and db1 has not answered.
    private func copyFirst(_ upstream: String? = "db1:5432") -> MachineScript {
        var script = MachineScript()
        script.answer(1, script.primary(run: 101))
        script.answer(2, script.replica(of: upstream))
        script.handle(.graceEnded)
        return script
    }

    @Test func aCopyIsNotTheFirstPrimaryWhileAReplicaNamesAnotherOneThatNobodyHasHeard() {
        var script = copyFirst()
        #expect(script.services == [[], [], .replica])
        let reason = "waiting for the first answer of db1:5432: replicas follow another host"
        #expect(script.machine.hosts[1].reason == reason)
        script.answer(0, script.primary())
        #expect(script.services == [.primary, [], .replica])
        #expect(script.machine.hosts[1].state == .quarantined)
    }

    @Test func aNameThatNobodyKnowsMayBeThatOfWhoeverWasNotHeard() {
        var script = copyFirst("10.0.0.1:5432")
        #expect(script.machine.primary == nil)
        script.fail(0, .refused)
        #expect(script.machine.primary == 1, "there is nobody left to ask")
    }

    @Test func theFirstCheckOfTheNamedHostIsWaitedForAndNoMore() {
        var script = copyFirst()
        script.fail(0, .timedOut)
        #expect(script.machine.primary == 1)
        script = copyFirst()
        // Faults of this machine are no answer; they do not hold the election up for ever either.
        for _ in 0..<3 {
            #expect(script.machine.primary == nil)
            script.fail(0, .local)
            script.pass(.seconds(1))
            script.answer(1, 2)
        }
        #expect(script.machine.primary == 1)
    }

    @Test func whatThisProcessSleptThroughIsGivenAgainOnceToWhoeverWasNotHeard() {
        var script = copyFirst()
        for _ in 0..<2 {
            #expect(script.machine.primary == nil)
            script.pass(.seconds(10), stall: .seconds(10))
            script.answer(1, 2)
        }
        #expect(script.machine.primary == 1)
    }

    /// What held this process up before, or is no more than a moment, does not double the wait.
    @Test func aShortStallProlongsTheWaitForARivalByItsOwnLength() {
        var script = copyFirst()
        script.pass(.seconds(1), stall: .milliseconds(150))
        script.answer(1, 2)
        script.pass(.seconds(2), stall: .milliseconds(150))
        script.answer(1, 2)
        #expect(script.machine.primary == nil)
        #expect(script.machine.wakeAt == script.now + .milliseconds(150))
        script.pass(.milliseconds(150), stall: .milliseconds(150))
        #expect(script.machine.primary == 1)
    }

    /// What is handled first when a process goes on is not the alarm.
    @Test func onlyTheAlarmEndsTheWaitForARival() {
        var script = copyFirst()
        script.now += .seconds(10)
        script.fail(0, .local)
        script.answer(1, 2)
        #expect(script.machine.primary == nil)
        script.pass(.zero, stall: .seconds(10))
        script.answer(0, script.primary())
        #expect(script.machine.primary == 0)
    }

    @Test func whoDecidesNeedNotWaitForARival() {
        var script = copyFirst()
        script.handle(.preferred(host: 1))
        #expect(script.machine.primary == 1)
    }

    /// Two copies; one of the three replicas follows the first of them.
    @Test func aRivalIsWaitedForAlsoWhereSeveralClaimToBeThePrimary() {
        var script = MachineScript(hosts: 6)
        script.answer(1, script.primary(run: 101))
        script.answer(2, script.primary(run: 102))
        script.answer(3, script.replica(run: 201, of: "db2:5432"))
        script.answer(4, script.replica(run: 202, of: "db1:5432"))
        script.answer(5, script.replica(run: 203, of: "db1:5432"))
        script.handle(.graceEnded)
        #expect(script.machine.primary == nil)
        script.answer(0, script.primary())
        #expect(script.machine.primary == 0)
    }

    /// Whom nobody has heard may be a host that was just added, and dead.
    @Test func whoeverComesAfterTheFirstPrimaryWaitsForNobody() {
        var script = MachineScript.healthy()
        script.handle(.added(host: 3, label: "db4:5432"))
        script.fail(0)
        script.answer(2, script.replica(timeline: 2, run: 300, of: "10.0.0.2:5432"))
        script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(script.machine.primary == 1)
    }

    @Test(arguments: ["db2:5432", nil]) func whomNoReplicaContradictsIsElectedAtOnce(upstream: String?) {
        #expect(copyFirst(upstream).machine.primary == 1)
    }

    @Test func aReplicaOfAnOlderTimelineIsNoContradiction() {
        var script = MachineScript()
        script.answer(1, script.primary(timeline: 2, run: 101))
        script.answer(2, script.replica(of: "db1:5432"))
        script.handle(.graceEnded)
        #expect(script.machine.primary == 1, "db1 was its predecessor")
    }

    @Test func laterElectionsWaitForNobody() {
        var machine = healthy()
        fail(&machine, 0, .refused)
        #expect(report(&machine, 1, primary(timeline: 2)).contains(.serve(host: 1, .primary)))
    }

    @Test func aForeignClusterGetsNothingEvenIfItAnswersFirst() {
        var machine = cluster()
        report(&machine, 0, primary(timeline: 9, system: 666))
        report(&machine, 1, replica())
        #expect(machine.primary == nil)
        report(&machine, 2, primary())
        #expect(machine.primary == 2)
        #expect(machine.systemIdentifier == 7)
        #expect(machine.hosts[0].reason?.contains("another cluster") == true)
    }

    @Test func aStrangerThatComesLaterDoesNotTakeTheClusterOver() {
        var machine = cluster(2)
        fail(&machine, 0, .refused)
        report(&machine, 1, primary())
        #expect(machine.primary == 1)
        // As when a container lost its volume, and made a new database.
        let actions = report(&machine, 0, primary(timeline: 1, system: 666, run: 900))
        #expect(machine.primary == 1)
        #expect(machine.systemIdentifier == 7)
        #expect(actions.contains(.fence(host: 0)))
    }

    @Test func aStrangerDoesNotWinByATieEither() {
        var machine = cluster(2)
        report(&machine, 1, primary())
        _ = machine.handle(.graceEnded, now: start)
        #expect(machine.primary == 1)
        report(&machine, 0, primary(timeline: 1, system: 666, run: 900))
        #expect(machine.primary == 1)
    }

    @Test func aTimelineIsRememberedThoughItsSystemWasUnknown() {
        var machine = cluster(2)
        report(&machine, 0, primary(timeline: 5, system: nil))
        report(&machine, 1, primary(timeline: 4))
        #expect(machine.highestTimeline == 5)
        #expect(machine.primary == 0)
        #expect(machine.hosts[1].state == .quarantined)
    }

    // MARK: Fencing

    @Test(arguments: [HostFailure.Kind.refused, .starting, .timedOut])
    func whoeverIsOutIsFencedWhenItsSuccessorIsElected(kind: HostFailure.Kind) {
        var machine = healthy()
        fail(&machine, 0, kind)
        let out = fail(&machine, 0, kind)
        #expect(machine.primary == nil)
        #expect(!out.contains(.fence(host: 0)), "it may come back as it was")
        let state = machine.hosts[0].state
        let actions = report(&machine, 1, primary(timeline: 2, run: 200))
        #expect(actions.firstIndex(of: .fence(host: 0))! < actions.firstIndex(of: .serve(host: 1, .primary))!)
        #expect(machine.hosts[0].state == state)
        #expect(!report(&machine, 1, primary(timeline: 2, run: 200)).contains(.fence(host: 0)), "once")
    }

    @Test func withoutTimelinesTheReplacedPrimaryIsFencedToo() {
        var machine = cluster(2)
        report(&machine, 0, primary(timeline: nil, system: nil))
        report(&machine, 1, replica(timeline: nil, system: nil))
        fail(&machine, 0, .refused)
        let actions = report(&machine, 1, primary(timeline: nil, system: nil, run: 200))
        #expect(actions.contains(.fence(host: 0)))
        #expect(machine.primary == 1)
    }

    @Test func aNewRunOfAPrimaryVoidsItsLeasesAndServesAgain() {
        var machine = healthy()
        let actions = report(&machine, 0, primary(run: 101))
        #expect(actions.firstIndex(of: .fence(host: 0))! < actions.firstIndex(of: .serve(host: 0, .primary))!)
    }

    @Test func aReplicaThatWasGoneVoidsItsLeases() {
        var machine = healthy()
        fail(&machine, 1, .timedOut, fresh: false)
        fail(&machine, 1, .timedOut)
        let actions = report(&machine, 1, replica(run: 201))
        #expect(actions.firstIndex(of: .fence(host: 1))! < actions.firstIndex(of: .serve(host: 1, .replica))!)
    }

    @Test func anotherServerBehindTheAddressIsEvidenceThoughTheOldOneAnswers() {
        var machine = healthy()
        let actions = machine.handle(
            .admitted(host: 0, primary(timeline: 2, run: 900), asked: start, as: .another),
            now: start
        )
        #expect(actions.contains(.fence(host: 0)))
        let renewal = actions.firstIndex(of: .renew(host: 0))!
        #expect(renewal < actions.firstIndex(of: .check(host: 0))!, "it is the check that is to ask the new server")
        // The old session still answers; the new one will tell.
        #expect(report(&machine, 0, primary(run: 100)).contains(.renew(host: 0)))
        #expect(machine.primary == nil)
        report(&machine, 0, primary(timeline: 2, run: 900))
        #expect(machine.primary == 0)
    }

    @Test func anAnswerFromBeforeTheOutageProvesNothing() {
        var machine = healthy()
        _ = machine.handle(
            .failed(host: 0, HostFailure(.refused, reason: "gone"), fresh: true),
            now: start + .seconds(2)
        )
        let late = TopologyMachine.Event.reported(host: 0, primary(), asked: start + .seconds(1))
        #expect(machine.handle(late, now: start + .seconds(3)).contains(.check(host: 0)))
        #expect(machine.primary == nil)
        #expect(machine.isHunting)
        _ = machine.handle(.reported(host: 0, primary(), asked: start + .seconds(3)), now: start + .seconds(3))
        #expect(machine.primary == 0)
    }

    @Test func oneServerUnderTwoNamesIsOnePrimary() {
        var machine = cluster(2)
        report(&machine, 0, primary())
        let actions = report(&machine, 1, primary())
        #expect(!actions.contains(.fence(host: 1)))
        #expect(services(machine) == [.primary, []])
        #expect(machine.hosts.map(\.state) == [.up, .up])
        #expect(machine.hosts[1].reason == "the same server as db1:5432")
        #expect(ReadinessCount(of: machine.hosts).isComplete)
        #expect(report(&machine, 1, primary()).contains(.compare(host: 1)), "the name may lead elsewhere one day")
        fail(&machine, 0, .refused)
        #expect(services(machine) == [[], .primary], "one name is as good as the other")
    }

    // MARK: The rest

    @Test func aForeignTimelineDoesNotCount() {
        var machine = healthy()
        report(&machine, 2, primary(timeline: 50, system: 666, run: 301))
        #expect(machine.primary == 0)
        #expect(machine.hosts[2].state == .quarantined)
    }

    @Test func aSecondPrimaryOnTheSameTimelineDoesNotDisplaceTheIncumbent() {
        var machine = healthy()
        let actions = report(&machine, 1, primary(timeline: 1, run: 201))
        #expect(actions.contains(.fence(host: 1)))
        #expect(machine.primary == 0)
    }

    @Test func twoPrimariesWithoutAnIncumbentAreBothRefused() {
        var machine = healthy()
        fail(&machine, 0, .refused)
        report(&machine, 1, replica(run: 201))
        report(&machine, 2, primary(timeline: 1, run: 301))
        #expect(machine.primary == 2)
        fail(&machine, 2, .refused)
        report(&machine, 0, primary(timeline: 1, run: 101))
        fail(&machine, 0, .refused)
        #expect(machine.primary == nil)
        report(&machine, 2, primary(timeline: 1, run: 302))
        #expect(machine.primary == 2)
    }

    @Test func suspicionAloneChangesNothing() {
        var machine = healthy()
        let before = services(machine)
        for evidence in [PassiveEvidence.connectionLost, .shutdownAnnounced, .writeRefused, .silence, .leftRecovery] {
            let actions = machine.handle(.suspected(host: 0, evidence), now: start)
            #expect(actions.contains(.check(host: 0)))
        }
        #expect(services(machine) == before)
        #expect(machine.isHunting, "a doubted primary is hunted for, in case it has a successor")
        report(&machine, 0, primary())
        #expect(!machine.isHunting)
    }

    @Test func aLostSessionIsNoProof() {
        var machine = healthy()
        fail(&machine, 0, .lost, fresh: false)
        #expect(machine.primary == 0)
    }

    @Test func aServerThatHangsUpOnEveryNewSessionIsDown() {
        var machine = healthy()
        fail(&machine, 0, .lost, fresh: false)
        fail(&machine, 0, .lost, fresh: true)
        #expect(machine.primary == 0)
        fail(&machine, 0, .lost, fresh: true)
        #expect(machine.hosts[0].state == .down)
    }

    @Test func oneTimeoutIsNoProofTwoOnAFreshConnectionAre() {
        var machine = healthy()
        fail(&machine, 0, .timedOut, fresh: false)
        #expect(machine.primary == 0)
        fail(&machine, 0, .timedOut, fresh: true)
        #expect(machine.primary == nil)
        #expect(machine.hosts[0].state == .frozen)
    }

    @Test func aThawedPrimaryWithoutASuccessorIsThePrimaryAgain() {
        var machine = healthy()
        fail(&machine, 0, .timedOut, fresh: false)
        fail(&machine, 0, .timedOut, fresh: true)
        let actions = report(&machine, 0, primary())
        #expect(actions.contains(.serve(host: 0, .primary)))
        #expect(!actions.contains(.expire(host: 0)), "the same run: its connections are as good as before")
    }

    @Test func ourOwnFaultIsNobodysFault() {
        var machine = healthy()
        let before = services(machine)
        for _ in 0..<10 { fail(&machine, 0, .local) }
        #expect(services(machine) == before)
    }

    @Test func aFullServerIsAliveAndKeepsItsService() {
        var machine = healthy()
        fail(&machine, 0, .busy)
        #expect(machine.hosts[0].state == .busy)
        #expect(machine.primary == 0)
    }

    @Test func aFullServerOnALowerTimelineIsStillStale() {
        var machine = healthy()
        fail(&machine, 0, .busy)
        report(&machine, 1, primary(timeline: 2, run: 200))
        #expect(machine.hosts[0].state == .quarantined)
        #expect(machine.primary == 1)
    }

    @Test func aServerThatIsStartingServesNothing() {
        var machine = healthy()
        fail(&machine, 1, .starting)
        #expect(machine.hosts[1].state == .starting)
        #expect(services(machine) == [.primary, [], .replica])
    }

    @Test func aRestartedServerLosesItsOldConnections() {
        var machine = healthy()
        #expect(report(&machine, 1, replica(run: 999)).contains(.expire(host: 1)))
    }

    @Test func anAnswerOvertakenByThePromotionIsIgnored() {
        var machine = healthy()
        fail(&machine, 0, .refused)
        report(&machine, 1, primary(timeline: 2, run: 200))
        report(&machine, 1, replica(timeline: 1, run: 200))
        #expect(machine.primary == 1)
    }

    @Test func aReadOnlyPrimaryTakesReadsOnly() {
        var machine = cluster(1)
        report(&machine, 0, HostReport(isInRecovery: false, isReadOnly: true, systemIdentifier: 7, timeline: 1))
        #expect(machine.primary == nil)
        #expect(machine.hosts[0].role == .readOnlyPrimary)
        #expect(services(machine) == [.readOnlyPrimary])
    }

    @Test func refusedFunctionsNeverQuarantineALonePrimary() {
        var machine = cluster(2)
        report(&machine, 0, primary(timeline: nil, system: nil))
        report(&machine, 1, replica(timeline: nil, system: nil))
        #expect(machine.primary == 0)
        #expect(machine.fenceLevel == .none)
    }

    @Test func theGapWithoutAPrimaryIsTold() {
        var machine = healthy()
        _ = machine.handle(.failed(host: 0, HostFailure(.refused, reason: "gone"), fresh: true), now: start)
        let actions = machine.handle(
            .reported(host: 1, primary(timeline: 2, run: 200), asked: start),
            now: start + .milliseconds(700)
        )
        let elected = actions.contains { action in
            guard case .emit(let event) = action else { return false }
            return event.kind == .primaryElected(timeline: 2, afterGap: .milliseconds(700))
        }
        #expect(elected)
    }
}

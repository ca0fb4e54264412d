// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster

/// Hosts that are added, drained and removed, in the machine.
@Suite struct MembershipTests {
    private var script = MachineScript.healthy()

    @Test mutating func anAddedHostServesWhenItHasAnswered() {
        let actions = script.handle(.added(host: 3, label: "db4:5432"))
        #expect(actions.events == [.added])
        #expect(script.services == [.primary, .replica, .replica, []])
        script.answer(3, script.replica(run: 400))
        #expect(script.services[3] == .replica)
        #expect(script.machine.hosts[3].slowStart.weight(at: script.now) == 0.1, "the others are warm")
    }

    @Test mutating func anAddedHostOfAnotherClusterIsKeptOut() {
        script.handle(.added(host: 3, label: "db4:5432"))
        script.answer(3, script.primary(timeline: 50, system: 666, run: 400))
        #expect(script.machine.primary == 0)
        #expect(script.machine.hosts[3].state == .quarantined)
    }

    @Test mutating func aDrainedReplicaServesNothingAndIsWatchedAllTheSame() {
        let actions = script.handle(.drained(host: 1))
        let order = actions.filter { $0 == .serve(host: 1, []) || $0 == .expire(host: 1) }
        #expect(order == [.serve(host: 1, []), .expire(host: 1)], "else the pool would open new connections")
        #expect(actions.events == [.drained])
        #expect(script.machine.hosts[1].state == .up)
        #expect(script.machine.hosts[1].reason == "drained")
        script.fail(1)
        #expect(script.machine.hosts[1].state == .down)
        script.answer(1)
        #expect(script.services == [.primary, [], .replica])
        #expect(script.handle(.undrained(host: 1)).contains(.serve(host: 1, .replica)))
        #expect(script.handle(.undrained(host: 1)).isEmpty)
    }

    @Test mutating func aDrainedPrimaryTakesNoWritesAndNobodyElseDoes() {
        let actions = script.handle(.drained(host: 0))
        #expect(script.services == [[], .replica, .replica])
        #expect(actions.contains(.hunt(true)))
        #expect(actions.events.contains(.primaryLost))
        #expect(!actions.contains(.fence(host: 0)), "work in progress may end")
        script.answer(1, script.primary(run: 201))
        #expect(script.services == [[], [], .replica], "a copy of it is no successor")
        script.handle(.undrained(host: 0))
        #expect(script.services == [.primary, [], .replica])
    }

    @Test mutating func theSuccessorOfADrainedPrimaryIsFollowed() {
        script.handle(.drained(host: 0))
        let actions = script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(actions.contains(.fence(host: 0)))
        #expect(script.services == [[], .primary, .replica])
    }

    @Test mutating func aDrainedReplicaThatIsPromotedTakesNoWrites() {
        script.handle(.drained(host: 1))
        script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(script.services == [[], [], .replica])
        script.handle(.undrained(host: 1))
        #expect(script.services == [[], .primary, .replica])
    }

    @Test mutating func aRemovedReplicaLetsReadsEnd() {
        let actions = script.handle(.removed(host: 1))
        #expect(actions.contains(.serve(host: 1, [])))
        #expect(actions.contains(.expire(host: 1)))
        #expect(!actions.contains(.fence(host: 1)))
        #expect(actions.events == [.removed])
    }

    @Test mutating func leasesOnARemovedPrimaryAreVoid() {
        let actions = script.handle(.removed(host: 0))
        #expect(actions.contains(.fence(host: 0)))
        #expect(actions.events.contains(.primaryLost))
        #expect(script.machine.primary == nil)
    }

    @Test mutating func whateverIsSaidOfARemovedHostIsIgnored() {
        script.handle(.removed(host: 1))
        #expect(script.answer(1, script.primary(timeline: 9, run: 200)).isEmpty)
        #expect(script.fail(1).isEmpty)
        #expect(script.handle(.drained(host: 1)).isEmpty)
        #expect(script.handle(.reported(host: 17, script.primary(), asked: script.now)).isEmpty)
        #expect(script.machine.highestTimeline == 1)
    }

    @Test mutating func aHostThatComesBackHasItsIndexAndNoPast() {
        script.flap(1, times: 5)
        script.handle(.removed(host: 1))
        script.handle(.added(host: 1, label: "db2:5432"))
        #expect(script.machine.hosts.count == 3)
        script.answer(1, script.replica(run: 200))
        #expect(script.services == [.primary, .replica, .replica])
    }

    @Test mutating func anIndexInUseIsNotTakenOver() {
        #expect(script.handle(.added(host: 1, label: "db9:5432")).isEmpty)
        #expect(script.machine.hosts[1].label == "db2:5432")
    }

    @Test func theFirstElectionDoesNotWaitForARemovedHost() {
        var script = MachineScript()
        script.answer(0, script.primary())
        script.answer(1, script.replica())
        #expect(script.machine.primary == nil)
        script.handle(.removed(host: 2))
        #expect(script.machine.primary == 0)
    }

    @Test mutating func readinessCountsNeitherDrainedNorRemovedHosts() {
        script.handle(.drained(host: 1))
        script.handle(.removed(host: 2))
        let count = ReadinessCount(of: script.machine.hosts)
        #expect(count.hosts == 1)
        #expect(count.isComplete)
    }

    @Test func removedHostsHaveNoVoteOnTheIdentity() {
        var script = MachineScript(hosts: 5)
        script.answer(3, script.replica(system: 666, run: 400))
        script.answer(4, script.replica(system: 666, run: 500))
        script.handle(.removed(host: 3))
        script.handle(.removed(host: 4))
        script.answer(0, script.primary())
        script.answer(1, script.replica(run: 200))
        script.answer(2, script.replica(run: 300))
        #expect(script.machine.systemIdentifier == 7)
        #expect(script.machine.primary == 0)
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster

/// What was answered long ago is not known now.
@Suite struct EvidenceAgeTests {
    private var script = MachineScript.healthy()

    @Test mutating func aHostThatGivesNeitherAnswerNorProofIsNotKnownAnyMore() {
        script.now += .seconds(4)
        script.answer(1, 2)
        let actions = script.pass(.seconds(1))
        #expect(script.services == [[], .replica, .replica])
        #expect(script.machine.hosts[0].state == .unknown)
        #expect(script.machine.hosts[0].role == .unknown)
        #expect(script.machine.hosts[0].reason == "its last answer is older than 5.0 seconds")
        #expect(actions.contains(.check(host: 0)))
        #expect(actions.contains(.hunt(true)))
        #expect(!actions.contains(.expire(host: 0)), "nothing is proven against its connections")
        #expect(!actions.contains(.fence(host: 0)))
    }

    @Test mutating func theNextAnswerBringsItBack() {
        script.pass(.seconds(5))
        #expect(script.services == [[], [], []])
        script.answer(0, 1, 2)
        #expect(script.services == [.primary, .replica, .replica])
        #expect(!script.machine.isHunting)
    }

    @Test mutating func theMachineSaysWhenItWantsToBeWoken() {
        let start = script.now
        #expect(script.machine.wakeAt == start + .seconds(5))
        script.now += .seconds(1)
        script.answer(0, 1, 2)
        #expect(script.machine.wakeAt == start + .seconds(6))
        script.pass(.seconds(5))
        #expect(script.machine.wakeAt == nil)
    }

    @Test mutating func evidenceIsAsOldAsTheQuestion() {
        script.now += .seconds(4)
        script.handle(.reported(host: 0, script.primary(), asked: script.now - .seconds(2)))
        script.answer(1, 2)
        script.pass(.seconds(3))
        #expect(script.services == [[], .replica, .replica])
    }

    /// A process that was stopped for a minute, or starved, asked nobody: that says nothing of the hosts.
    @Test mutating func aProcessThatWasStoppedLosesNoHost() {
        let actions = script.pass(.seconds(60), stall: .seconds(59))
        #expect(script.services == [.primary, .replica, .replica])
        #expect(actions.events.isEmpty)
        for host in 0..<3 { #expect(actions.contains(.check(host: host)), "but it asks at once") }
        script.pass(.seconds(5))
        #expect(script.services == [[], [], []], "from then on the same time is theirs")
    }

    @Test mutating func aProcessThatIsStarvedAllTheTimeLosesNoHost() {
        for _ in 0..<20 { script.pass(.seconds(5), stall: .milliseconds(300)) }
        #expect(script.services == [.primary, .replica, .replica])
    }

    @Test mutating func aFullServerIsAliveForAsLongAsItSaysSo() {
        for _ in 0..<20 {
            script.now += .seconds(1)
            script.fail(0, .busy)
            script.answer(1, 2)
            script.pass(.zero)
        }
        #expect(script.services == [.primary, .replica, .replica])
        script.pass(.seconds(5))
        #expect(script.machine.hosts[0].state == .busy)
        #expect(script.services == [[], [], []])
    }

    @Test mutating func localFaultsProveNothingButAnswerNothingEither() {
        for _ in 0..<9 {
            script.now += .milliseconds(500)
            script.fail(0, .local)
        }
        #expect(script.services[0] == .primary)
        script.pass(.milliseconds(500))
        #expect(script.machine.hosts[0].state == .unknown)
    }

    @Test mutating func aTimelineThatIsHeardOfTooLateIsKnownAllTheSame() {
        let asked = script.now
        script.now += .seconds(1)
        script.fail(1)
        let actions = script.handle(.reported(host: 1, script.primary(timeline: 2, run: 200), asked: asked))
        #expect(actions.contains(.fence(host: 0)), "nothing is sent to below the highest timeline")
        #expect(script.machine.hosts[1].state == .down, "it may have gone since it said so")
        #expect(script.services == [[], [], .replica])
        script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(script.services == [[], .primary, .replica])
    }

    @Test(arguments: [HostFailure.Kind.timedOut, .unreachable, .lost])
    mutating func whoAnswersUsersIsKeptForAMinuteThoughItsChecksFail(kind: HostFailure.Kind) {
        for second in 1...59 {
            script.pass(.seconds(1))
            #expect(script.services[0] == .primary, "after \(second) s")
            script.fail(0, kind, heard: true)
        }
        script.pass(.seconds(1))
        #expect(script.machine.hosts[0].state == .unknown, "nobody knows what it is by now")
        #expect(script.services[0] == [])
    }

    @Test mutating func whoSharesAnAddressDoesNotVouchForTheOthers() {
        script.admit(1, script.replica(run: 900))
        for _ in 0..<10 {
            script.pass(.milliseconds(500))
            script.answer(0, 2)
            script.fail(1, .timedOut, heard: true)
        }
        #expect(script.machine.hosts[1].state == .unknown)
    }

    @Test mutating func answersToUsersDoNotTellWhatAHostIsThatWasForgotten() {
        script.pass(.seconds(5))
        script.fail(0, .timedOut, heard: true)
        #expect(script.services[0] == [])
    }

    @Test mutating func whoAnsweredUsersUntilNowIsOutWithTheNextSilence() {
        for _ in 0..<3 { script.fail(0, .timedOut, heard: true) }
        script.fail(0, .timedOut, fresh: false)
        #expect(script.services[0] == .primary)
        script.fail(0, .timedOut)
        #expect(script.machine.hosts[0].state == .frozen)
    }

    /// Silence towards everybody, twice in a row.
    @Test mutating func whoAnsweredUsersMeanwhileWasNotSilent() {
        script.fail(0, .timedOut, fresh: false)
        script.fail(0, .timedOut, heard: true)
        script.fail(0, .timedOut)
        #expect(script.services[0] == .primary)
        script.fail(0, .timedOut)
        #expect(script.machine.hosts[0].state == .frozen)
    }

    @Test mutating func answersToUsersEndTheRowWhileThisProcessCannotAsk() {
        script.fail(0, .timedOut, fresh: false)
        script.fail(0, .local, heard: true)
        script.fail(0, .timedOut)
        #expect(script.services[0] == .primary)
    }

    /// A process without descriptors cannot ask; those of its connections that are open work.
    @Test mutating func whoAnswersUsersIsKeptThoughThisProcessCannotAsk() {
        for second in 1...59 {
            script.pass(.seconds(1))
            #expect(script.services[0] == .primary, "after \(second) s")
            script.fail(0, .local, heard: true)
        }
        script.pass(.seconds(1))
        #expect(script.services[0] == [])
    }

    @Test(arguments: [HostFailure.Kind.refused, .starting, .misconfigured, .garbage])
    mutating func answersToUsersDoNotSpeakAgainstAProof(kind: HostFailure.Kind) {
        script.fail(0, kind, heard: true)
        #expect(script.services[0] == [])
    }

    @Test func aMonitorHasTheTimeForTwoChecksBeforeItsEvidenceIsOld() {
        for (delay, timeout) in [(1000, 1000), (5, 100), (10_000, 500), (100, 10_000)] {
            let configuration = ClusterConfiguration(
                refreshDelay: .milliseconds(delay),
                refreshTimeout: .milliseconds(timeout)
            )
            #expect(configuration.evidenceLife > .milliseconds(delay * 11 / 10 + 2 * timeout + 200))
        }
        #expect(ClusterConfiguration().evidenceLife == .seconds(5))
    }
}

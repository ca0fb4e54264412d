// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster

/// Hosts that flap, and hosts that have come back.
@Suite struct HoldDownTests {
    private var script = MachineScript.healthy()

    @Test mutating func twoOutagesAreForgiven() {
        script.flap(1, times: 2)
        #expect(script.services == [.primary, .replica, .replica])
    }

    @Test mutating func theThirdCostsASecondOfGoodBehaviour() {
        script.flap(1, times: 2)
        script.fail(1)
        let actions = script.answer(1)
        #expect(script.services == [.primary, [], .replica])
        #expect(script.machine.hosts[1].state == .up)
        #expect(script.machine.hosts[1].role == .replica)
        #expect(actions.events.contains(.heldDown(for: .seconds(1))))
        #expect(script.machine.wakeAt == script.now + .seconds(1))
        script.pass(.milliseconds(999))
        #expect(script.services[1] == [])
        script.pass(.milliseconds(1))
        #expect(script.services[1] == .replica)
    }

    @Test mutating func theHoldGrowsAndIsBounded() {
        var holds: [Duration] = []
        script.flap(1, times: 2)
        for _ in 0..<8 {
            script.fail(1)
            script.answer(2)
            script.answer(1)
            holds.append(script.now.duration(to: script.machine.hosts[1].holdDown.end ?? script.now))
        }
        #expect(holds == [1, 2, 4, 8, 16, 30, 30, 30].map { .seconds($0) })
    }

    @Test mutating func outagesAreForgottenOneByOne() {
        script.flap(1, times: 6)
        #expect(script.machine.hosts[1].holdDown.outages == 6)
        for _ in 0..<150 {
            script.now += .seconds(1)
            script.answer(0, 1, 2)
        }
        script.flap(1)
        #expect(script.machine.hosts[1].holdDown.outages == 2)
        #expect(script.services[1] == .replica)
    }

    @Test mutating func anOutageDuringTheHoldBeginsALongerOne() {
        script.flap(1, times: 3)
        #expect(script.services[1] == [])
        script.fail(1)
        script.answer(1)
        script.pass(.milliseconds(1500))
        #expect(script.services[1] == [])
        script.pass(.milliseconds(500))
        #expect(script.services[1] == .replica)
    }

    @Test mutating func thePrimaryIsNeverHeldDown() {
        script.flap(0, times: 20)
        #expect(script.services[0] == .primary)
    }

    @Test mutating func aHostThatIsHeldDownTakesTheWritesAtOnceWhenItIsPromoted() {
        script.flap(1, times: 5)
        script.fail(0)
        script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(script.services == [[], .primary, .replica])
    }

    @Test mutating func theLastReplicaIsNeverHeldDown() {
        script.fail(2)
        script.flap(1, times: 5)
        #expect(script.services == [.primary, .replica, []])
    }

    @Test mutating func aHoldIsLiftedWhenTheOthersGo() {
        script.flap(1, times: 5)
        #expect(script.services == [.primary, [], .replica])
        script.fail(2)
        #expect(script.services == [.primary, .replica, []])
        script.answer(2)
        #expect(script.services == [.primary, .replica, .replica], "and not taken up again")
    }

    @Test mutating func drainingTheOthersLiftsItToo() {
        script.flap(1, times: 5)
        script.handle(.drained(host: 2))
        #expect(script.services == [.primary, .replica, []])
    }

    @Test func aSingleHostIsNeverHeldDown() {
        var script = MachineScript(hosts: 1)
        script.answer(0, script.primary())
        script.flap(0, times: 10)
        #expect(script.services == [.primary])
    }

    @Test mutating func whatIsNoOutageIsNotCounted() {
        for _ in 0..<10 {
            script.fail(1, .busy)
            script.answer(1)
            script.fail(1, .local)
            script.fail(1, .lost, fresh: false)
            script.answer(1)
            script.pass(.seconds(5))
            script.answer(0, 1, 2)
        }
        #expect(script.machine.hosts[1].holdDown.outages == 0)
        #expect(script.services == [.primary, .replica, .replica])
    }

    // MARK: Slow start

    @Test mutating func aHostThatComesBackStartsSlowly() {
        #expect(script.machine.hosts.map { $0.slowStart.weight(at: script.now) } == [1, 1, 1])
        script.flap(1)
        let weight = { [script] (time: Duration) in script.machine.hosts[1].slowStart.weight(at: script.now + time) }
        #expect(weight(.zero) == 0.1)
        #expect(abs(weight(.seconds(5)) - 0.55) < 1e-9)
        #expect(weight(.seconds(10)) == 1)
        #expect(weight(.seconds(100)) == 1)
        #expect(script.machine.hosts[2].slowStart.weight(at: script.now) == 1)
    }

    @Test mutating func aReplicaThatWasRestartedUnnoticedStartsSlowlyToo() {
        let actions = script.answer(1, script.replica(run: 201))
        #expect(actions.contains(.expire(host: 1)))
        #expect(script.machine.hosts[1].slowStart.weight(at: script.now) == 0.1)
        #expect(script.machine.hosts[1].slowStart.weight(at: script.now + .seconds(10)) == 1)
        #expect(script.services[1] == .replica)
    }

    @Test mutating func aHostThatGoesOutAgainIsAsColdAsTheFirstTime() {
        script.flap(1)
        script.pass(.seconds(20))
        script.answer(0, 1, 2)
        script.fail(1)
        #expect(script.machine.hosts[1].slowStart.weight(at: script.now) == 0.1)
        #expect(!script.machine.hosts[1].slowStart.grows(at: script.now))
    }

    @Test mutating func aThawedHostIsAsWarmAsBefore() {
        script.fail(1, .timedOut)
        script.fail(1, .timedOut)
        script.answer(1)
        #expect(script.machine.hosts[1].slowStart.weight(at: script.now) == 1)
    }

    @Test mutating func aPromotedReplicaIsWarm() {
        script.fail(0)
        let actions = script.answer(1, script.primary(timeline: 2, run: 200))
        #expect(!actions.contains(.expire(host: 1)))
        #expect(!actions.contains(.fence(host: 1)))
        #expect(script.machine.hosts[1].slowStart.weight(at: script.now) == 1)
    }
}

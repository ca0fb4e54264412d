// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePool
import Testing

@testable import PosthouseSimulator

@Suite struct SimulationTests {
    @Test func noPromiseIsBrokenInDozensOfFailovers() {
        var failovers = 0
        var seed = Seeds.first
        while failovers < Seeds.failovers {
            let scenario = Scenario.drawn(seed: seed, failovers: 10)
            let report = Simulation.run(scenario)
            failovers += report.failovers
            if !report.violations.isEmpty {
                let smallest = scenario.shrunk { !Simulation.run($0).violations.isEmpty }
                Issue.record("\(report.violations)\nreplay:\n\(smallest)\n\(Simulation.run(smallest).violations)")
                return
            }
            seed += 1
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func aSeedGivesTheSameTraceByteForByte(seed: UInt64) {
        let scenario = Scenario.drawn(seed: seed, failovers: 3)
        let (first, second) = (Simulation.run(scenario, records: true), Simulation.run(scenario, records: true))
        #expect(first.trace.count > 1000)
        #expect(first.trace == second.trace)
        #expect(first.jobs == second.jobs)
        #expect(Simulation.run(scenario).digest == first.digest)
    }

    @Test func anotherSeedGivesAnotherTrace() {
        var scenario = Scenario.drawn(seed: 1, failovers: 1)
        let first = Simulation.run(scenario).digest
        scenario.seed = 2
        #expect(Simulation.run(scenario).digest != first)
    }

    @Test func aScriptIsReadAsItWasPrinted() throws {
        for seed in 0..<50 {
            let scenario = Scenario.drawn(seed: UInt64(seed), failovers: 20)
            #expect(try #require(Scenario(scenario.description)) == scenario)
        }
        for line in ["10 alias 0 1", "10 exhaust 1", "10 exhaust 0", "10 adopt former", "10 dawdle 1 100"] {
            #expect(try #require(Scenario(line)).description.hasSuffix(line))
        }
        let unreadable = ["seed x", "hosts 0", "10 crash", "10 crash 1 2 3", "10 explode 1", "-1 heal", "10 lose 100"]
        for script in unreadable + ["10 adopt", "10 exhaust"] {
            #expect(Scenario(script) == nil, "\(script)")
        }
    }

    /// Thousands of tasks wait while the primary is gone; when there is one again it is not overrun. `make simulate` has ten
    /// thousand of them.
    @Test func aHostThatReturnsMeetsNoHerd() {
        let scenario = Scenario.herd(seed: Seeds.first, clients: 1500)
        let report = Simulation.run(scenario, configuration: ClusterConfiguration(), neglecting: [])
        #expect(report.violations == [])
        #expect(report.statements > 1000)
        #expect(report.mostPoolConnects <= 30)
        #expect(report.mostMonitorConnects <= 12)
    }

    /// A load between the soft and the hard limit opens connections and closes them again when nobody waits for them. The limit
    /// of the rate costs nobody the service.
    @Test func aPoolThatBurstsAllTheTimeConnectsNoFasterThanItMay() {
        let scenario = Scenario(seed: 1, clients: 800, faults: [ScheduledFault(at: 2000, .heal)])
        var configuration = ClusterConfiguration(pool: PoolConfiguration(maximumSize: 1, burstLimit: 4))
        let free = Simulation.run(scenario, configuration: configuration, neglecting: [])
        configuration.pool.maximumConnectRate = 10
        let limited = Simulation.run(scenario, configuration: configuration, neglecting: [])
        #expect(free.mostPoolConnects > limited.mostPoolConnects)
        #expect(limited.violations == [])
        #expect(limited.mostPoolConnects <= 10)
        #expect(limited.statements > free.statements * 9 / 10)
    }

    /// Both addresses lead to the other server, and no session tells: those that are open go on.
    @Test func aPrimaryBehindAnotherAddressIsFound() {
        for seed in Seeds.first..<Seeds.first + 4 {
            let faults = [ScheduledFault(at: 700, .swap(.host(0), .host(1))), ScheduledFault(at: 8000, .promote)]
            #expect(Simulation.run(Scenario(seed: seed, faults: faults)).violations == [])
        }
    }

    /// A former primary's place is taken by a copy of the new one, and the replicas say whom they follow.
    @Test func aCopyOfThePrimaryIsNotWrittenTo() {
        for seed in Seeds.first..<Seeds.first + 4 {
            let faults = [ScheduledFault(at: 700, .promote), ScheduledFault(at: 1000, .copy(host: .former))]
            #expect(Simulation.run(Scenario(seed: seed, faults: faults)).violations == [])
        }
    }

    @Test func hostsComeAndGoAndNothingIsSentToThoseThatWent() {
        for seed in Seeds.first..<Seeds.first + 4 {
            let faults = [
                ScheduledFault(at: 500, .drain(host: .host(1))),
                ScheduledFault(at: 700, .remove(host: .host(2))),
                ScheduledFault(at: 4000, .add(host: .host(2))),
                ScheduledFault(at: 4500, .undrain(host: .host(1))),
                ScheduledFault(at: 5000, .remove(host: .primary)),
                ScheduledFault(at: 5500, .promote),
                ScheduledFault(at: 7000, .add(host: .former)),
            ]
            #expect(Simulation.run(Scenario(seed: seed, faults: faults)).violations == [])
        }
    }

    /// db2 is promoted and removed while this process is stopped; a connection to it is being opened, and it tells of its timeline.
    @Test func whoeverWasRemovedTellsNothingAboutTheCluster() throws {
        let script = """
            seed 25220
            hosts 3
            clients 6
            synchronous 1
            300 drain 0
            432 freeze primary
            450 remove 0
            520 promote
            762 rejoin former 185
            2152 heal
            2807 stop primary
            2894 promote
            3272 start former 122
            3647 rejoin former 61
            8188 vanish primary
            9526 heal
            10081 pause 899
            10756 promote
            10874 remove 2
            """
        #expect(Simulation.run(try #require(Scenario(script))).violations == [])
    }

    /// As a user of the simulator would test what is built on a cluster.
    @Test func ownWorkRunsOnTheSimulatedCluster() {
        let faults = [ScheduledFault(at: 500, .crash(host: .primary)), ScheduledFault(at: 700, .promote)]
        let scenario = Scenario(seed: 1, faults: faults)
        let report = Simulation.run(scenario) { stage in
            for id in 1...20 as ClosedRange<UInt64> {
                do {
                    try await stage.cluster.write { db in try await db.insert(id) }
                } catch is SimulatedError {}
                try await stage.time.sleep(until: stage.time.now + .milliseconds(100))
            }
        }
        #expect(report.violations == [])
        #expect(report.failovers == 1)
        #expect(report.statements == 20)
    }

    @Test func whatANeverEndingRunWaitsForIsReported() {
        let report = Simulation.run(Scenario(seed: 1)) { stage in
            stage.world.apply(.cut(host: .primary))
            try await stage.time.sleep(until: stage.time.now + .seconds(3600))
        }
        #expect(report.violations.contains { $0.contains("does not end") })
    }
}

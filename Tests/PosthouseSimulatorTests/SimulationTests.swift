// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import Testing

@testable import PosthouseSimulator

@Suite struct SimulationTests {
    @Test func noPromiseIsBrokenInHundredsOfFailovers() {
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
        for script in ["seed x", "hosts 0", "10 crash", "10 crash 1 2 3", "10 explode 1", "-1 heal", "10 lose 100"] {
            #expect(Scenario(script) == nil, "\(script)")
        }
    }

    /// Ten thousand tasks wait while the primary is gone; when there is one again it is not overrun.
    @Test func aHostThatReturnsMeetsNoHerd() {
        let faults = [
            ScheduledFault(at: 1500, .crash(host: .primary)),
            ScheduledFault(at: 2500, .promote),
            ScheduledFault(at: 4000, .crash(host: .primary)),
            ScheduledFault(at: 4500, .start(host: .primary, milliseconds: 200)),
            ScheduledFault(at: 5000, .heal),
        ]
        let scenario = Scenario(seed: Seeds.first, clients: 10_000, faults: faults)
        let report = Simulation.run(scenario, configuration: ClusterConfiguration(), neglecting: [])
        #expect(report.violations == [])
        #expect(report.statements > 5000)
        #expect(report.mostPoolConnects <= 30)
        #expect(report.mostMonitorConnects <= 12)
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

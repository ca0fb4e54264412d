// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseCluster
@testable import PosthouseSimulator

/// A simulator that finds nothing shows something only if it would have found it.
@Suite struct MutantTests {
    private static let most: UInt64 = 12

    private func firstFailure(_ run: (Scenario) -> SimulationReport) -> (Scenario, SimulationReport)? {
        for seed in Seeds.first..<Seeds.first + Self.most {
            let scenario = Scenario.drawn(seed: seed, failovers: 10)
            let report = run(scenario)
            if !report.violations.isEmpty { return (scenario, report) }
        }
        return nil
    }

    @Test(arguments: [[.permits, .interrupts], .timelines, .closes] as [Duties])
    func aDriverThatNeglectsItsDutyIsCaught(duty: Duties) {
        #expect(firstFailure { Simulation.run($0, neglecting: duty) } != nil)
    }

    @Test(arguments: [TopologyMachine.Guards.staleTimelines])
    func aClusterWithoutThisGuardIsCaught(guardLeftOut: TopologyMachine.Guards) {
        #expect(firstFailure { Simulation.run($0, neglecting: [], without: guardLeftOut.rawValue) } != nil)
    }

    @Test func aFailingScheduleIsCutDownToFewFaultsThatFailAgain() throws {
        let fails = { (scenario: Scenario) in !Simulation.run(scenario, neglecting: .timelines).violations.isEmpty }
        let (scenario, _) = try #require(firstFailure { Simulation.run($0, neglecting: .timelines) })
        let smallest = scenario.shrunk(fails)
        #expect(smallest.faults.count <= 6)
        #expect(smallest.faults.count < scenario.faults.count)
        #expect(fails(try #require(Scenario(smallest.description))))
    }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseCluster
@testable import PosthouseSimulator

/// A simulator that finds nothing shows something only if it would have found it.
@Suite struct MutantTests {
    /// How many seeds a mutant survives at the most.
    private static let most: UInt64 = 12

    private func firstFailure(
        _ most: UInt64 = Self.most,
        of scenario: (UInt64) -> Scenario = { Scenario.drawn(seed: $0, failovers: 5) },
        _ run: (Scenario) -> SimulationReport
    ) -> (Scenario, SimulationReport)? {
        for seed in Seeds.first..<Seeds.first + most {
            let scenario = scenario(seed)
            let report = run(scenario)
            if !report.violations.isEmpty { return (scenario, report) }
        }
        return nil
    }

    @Test(arguments: [[.permits, .interrupts], .timelines, .closes] as [Duties])
    func aDriverThatNeglectsItsDutyIsCaught(duty: Duties) {
        #expect(firstFailure { Simulation.run($0, neglecting: duty) } != nil)
    }

    @Test func aFailingScheduleIsCutDownToFewFaultsThatFailAgain() throws {
        let fails = { (scenario: Scenario) in !Simulation.run(scenario, neglecting: .timelines).violations.isEmpty }
        let (scenario, _) = try #require(
            firstFailure(of: { Scenario.drawn(seed: $0, failovers: 2) }, { Simulation.run($0, neglecting: .timelines) })
        )
        let smallest = scenario.shrunk(fails)
        #expect(smallest.faults.count <= 6)
        #expect(smallest.faults.count < scenario.faults.count)
        #expect(fails(try #require(Scenario(smallest.description))))
    }
}

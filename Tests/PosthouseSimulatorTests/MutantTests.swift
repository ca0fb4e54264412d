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

    /// A guard of the topology, and what has to happen for somebody to miss it.
    struct Temptation: Sendable, CustomTestStringConvertible {
        let guardLeftOut: TopologyMachine.Guards
        let script: String

        var testDescription: String { script.replacing("\n", with: ", ") }
    }

    private static let temptations = [
        Temptation(guardLeftOut: .staleTimelines, script: "500 promote\n1500 promote"),
        Temptation(guardLeftOut: .foreignSystems, script: "500 usurp 0\n500 terminate 0\n1000 restore"),
        Temptation(guardLeftOut: .equals, script: "500 copy 1"),
        // Leases of a primary that is out, while a copy of it takes its place.
        Temptation(guardLeftOut: .replacedPrimaries, script: "500 copy 1\n700 cut 0\n5000 mend 0"),
        // Leases of the server that was behind an address, while the new primary is there.
        Temptation(guardLeftOut: .newRuns, script: "500 swap 2 0\n900 promote"),
        Temptation(guardLeftOut: .drained, script: "500 drain 1\n4000 undrain 1"),
        // A session that ended, and one silence.
        Temptation(guardLeftOut: .lostSessions, script: "500 terminate 0\n503 cut 0\n1700 mend 0"),
    ]

    @Test(arguments: temptations)
    func aClusterWithoutThisGuardIsCaught(temptation: Temptation) throws {
        let head = "hosts 3\nclients 12\nsynchronous 1\n"
        let scenario = try #require(Scenario(head + temptation.script))
        let failure = firstFailure(of: { seed in
            var scenario = scenario
            scenario.seed = seed
            return scenario
        }) { scenario in
            if scenario.seed == Seeds.first { #expect(Simulation.run(scenario).violations == [], "with all guards") }
            return Simulation.run(scenario, neglecting: [], without: temptation.guardLeftOut.rawValue)
        }
        #expect(failure != nil)
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

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseSimulator

@Suite struct SimulationTests {
    @Test func probe() {
        for seed in 0..<20 {
            let clock = ContinuousClock()
            let began = clock.now
            let report = Simulation.run(.drawn(seed: UInt64(seed), failovers: 20))
            print(seed, report.failovers, report.statements, report.jobs, report.elapsed, report.mostMonitorConnects,
                report.mostPoolConnects, report.mostProbes, began.duration(to: clock.now), report.violations)
        }
    }
}

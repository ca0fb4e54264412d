// SPDX-License-Identifier: Apache-2.0

import Foundation
import PosthouseSimulator

/// Simulates scenario after scenario until there were as many failovers as asked for, or one of them fails: that is cut down
/// to few faults and printed.
///
/// | variable | meaning | default |
/// |---|---|---|
/// | `POSTHOUSE_TEST_SEED` | the first scenario's seed; the others count on | from the clock |
/// | `POSTHOUSE_TEST_FAILOVERS` | how many failovers | 50,000 |
/// | `POSTHOUSE_TEST_SCRIPT` | a file with one scenario to replay instead | none |
@main struct Simulate {
    private static let failoversOfScenario = 20

    static func main() throws {
        let environment = ProcessInfo.processInfo.environment
        if let path = environment["POSTHOUSE_TEST_SCRIPT"] {
            guard let scenario = Scenario(try String(contentsOfFile: path, encoding: .utf8)) else {
                FileHandle.standardError.write(Data("\(path) is no scenario\n".utf8))
                exit(64)
            }
            let report = Simulation.run(scenario, records: true)
            for line in report.trace { say(line) }
            for violation in report.violations { say("VIOLATION \(violation)") }
            exit(report.violations.isEmpty ? 0 : 1)
        }
        let first = environment["POSTHOUSE_TEST_SEED"].flatMap(UInt64.init) ?? UInt64(Date().timeIntervalSince1970)
        let wanted = environment["POSTHOUSE_TEST_FAILOVERS"].flatMap(Int.init) ?? 50_000
        run(from: first, failovers: wanted)
    }

    private static func run(from first: UInt64, failovers wanted: Int) {
        let began = ContinuousClock.now
        var sum = Sum()
        var seed = first
        while sum.failovers < wanted {
            let scenario = Scenario.drawn(seed: seed, failovers: failoversOfScenario)
            let report = Simulation.run(scenario)
            if !report.violations.isEmpty { fail(scenario, report) }
            sum.add(report)
            seed += 1
            if (seed - first).isMultiple(of: 250) { say(sum.line(since: began)) }
        }
        say("seeds \(first)...\(seed - 1): \(sum.line(since: began))")
    }

    private static func fail(_ scenario: Scenario, _ report: SimulationReport) -> Never {
        say("seed \(scenario.seed) failed:")
        for violation in report.violations { say("  \(violation)") }
        let smallest = scenario.shrunk { !Simulation.run($0).violations.isEmpty }
        say("of its \(scenario.faults.count) faults \(smallest.faults.count) are enough; the script:\n\(smallest)")
        for violation in Simulation.run(smallest).violations { say("  \(violation)") }
        exit(1)
    }

    /// At once, also where nobody looks at a terminal.
    private static func say(_ line: String) {
        FileHandle.standardOutput.write(Data("\(line)\n".utf8))
    }

    private struct Sum {
        var failovers = 0
        var statements = 0
        var jobs = 0
        var elapsed = Duration.zero
        var monitorConnects = 0
        var poolConnects = 0
        var probes = 0

        mutating func add(_ report: SimulationReport) {
            failovers += report.failovers
            statements += report.statements
            jobs += report.jobs
            elapsed += report.elapsed
            monitorConnects = max(monitorConnects, report.mostMonitorConnects)
            poolConnects = max(poolConnects, report.mostPoolConnects)
            probes = max(probes, report.mostProbes)
        }

        func line(since began: ContinuousClock.Instant) -> String {
            let took = began.duration(to: .now)
            return "\(failovers) failovers, \(statements) statements, \(jobs) jobs in "
                + "\(elapsed.components.seconds) virtual s, \(took.components.seconds) s; at most a second and host: \(monitorConnects) connects of monitors, "
                + "\(poolConnects) of pools, \(probes) probes"
        }
    }
}

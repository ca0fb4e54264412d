// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import PosthouseCluster
import PosthouseSimulator

/// Simulates a herd of ten thousand clients, and then scenario after scenario, on all processors side by side, until there were as many failovers as asked for, or one
/// of them fails: that is cut down to few faults and printed.
///
/// | variable | meaning | default |
/// |---|---|---|
/// | `POSTHOUSE_TEST_SEED` | the first scenario's seed; the others count on | from the clock |
/// | `POSTHOUSE_TEST_FAILOVERS` | how many failovers | 50,000 |
/// | `POSTHOUSE_TEST_THREADS` | how many scenarios run at a time | one for each processor, at most 8 |
/// | `POSTHOUSE_TEST_WITHOUT` | a guard of the topology to leave out, by its bit's number, to see that it is missed | none |
/// | `POSTHOUSE_TEST_SCRIPT` | a file with one scenario to replay instead | none |
@main struct Simulate {
    private static let failoversOfScenario = 20
    private static let mostThreads = 8

    static func main() throws {
        let environment = ProcessInfo.processInfo.environment
        if let path = environment["POSTHOUSE_TEST_SCRIPT"] {
            guard let scenario = Scenario(try String(contentsOfFile: path, encoding: .utf8)) else {
                FileHandle.standardError.write(Data("\(path) is no scenario\n".utf8))
                exit(64)
            }
            let report = simulate(scenario, records: true)
            for line in report.trace { say(line) }
            for violation in report.violations { say("VIOLATION \(violation)") }
            exit(report.violations.isEmpty ? 0 : 1)
        }
        let first: UInt64 =
            environment["POSTHOUSE_TEST_SEED"].flatMap(UInt64.init) ?? UInt64(Date().timeIntervalSince1970)
        let wanted = environment["POSTHOUSE_TEST_FAILOVERS"].flatMap(Int.init) ?? 50_000
        let threads =
            environment["POSTHOUSE_TEST_THREADS"].flatMap(Int.init)
            ?? min(ProcessInfo.processInfo.activeProcessorCount, mostThreads)
        herd(seed: first)
        run(Ledger(from: first, failovers: wanted), threads: max(1, threads))
    }

    private static func simulate(_ scenario: Scenario, records: Bool = false) -> SimulationReport {
        let guards = ProcessInfo.processInfo.environment["POSTHOUSE_TEST_WITHOUT"].flatMap(UInt32.init) ?? .max
        return Simulation.run(scenario, records: records, neglecting: [], without: guards < 32 ? 1 << guards : 0)
    }

    /// A host that returns is not overrun by all those who wait for it.
    private static func herd(seed: UInt64) {
        let scenario = Scenario.herd(seed: seed, clients: 10_000)
        let configuration = ClusterConfiguration()
        let report = Simulation.run(scenario, configuration: configuration, neglecting: [])
        let (monitors, pools) = (report.mostMonitorConnects, report.mostPoolConnects)
        say(
            "\(scenario.clients) clients: \(report.statements) statements; at most a second and host: "
                + "\(monitors) connects of monitors, \(pools) of pools"
        )
        for violation in report.violations { say("  \(violation)") }
        if !report.violations.isEmpty || monitors > 12 || pools > 30 {
            say("seed \(seed) failed with the herd")
            exit(1)
        }
    }

    private static func run(_ ledger: Ledger, threads: Int) {
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            while let seed = ledger.nextSeed() {
                let scenario = Scenario.drawn(seed: seed, failovers: failoversOfScenario)
                ledger.note(simulate(scenario), of: seed).map(say)
            }
        }
        // What a seed does has nothing to do with who ran it: it does it again.
        if let seed = ledger.failingSeed { fail(Scenario.drawn(seed: seed, failovers: failoversOfScenario)) }
        say("done: \(ledger.summary)")
    }

    private static func fail(_ scenario: Scenario) -> Never {
        say("seed \(scenario.seed) failed:")
        let violations = simulate(scenario).violations
        for violation in violations { say("  \(violation)") }
        // In the same way: what is left would fail in another one otherwise, and that is another story.
        let kinds = Set(violations.map(kind))
        let smallest = scenario.shrunk { !kinds.isDisjoint(with: simulate($0).violations.map(kind)) }
        say("of its \(scenario.faults.count) faults \(smallest.faults.count) are enough; the script:\n\(smallest)")
        for violation in simulate(smallest).violations { say("  \(violation)") }
        exit(1)
    }

    /// What a violation is about: its first words, without the numbers.
    private static func kind(of violation: String) -> String {
        let words = violation.drop { $0 != ":" }.split(separator: " ").filter { !$0.contains(where: \.isNumber) }
        return words.prefix(7).joined(separator: " ")
    }

    /// At once, also where nobody looks at a terminal.
    private static func say(_ line: String) {
        FileHandle.standardOutput.write(Data("\(line)\n".utf8))
    }
}

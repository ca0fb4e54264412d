// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthouseSimulator

/// Deals seeds out to those who run them, and adds up what came of them.
final class Ledger: Sendable {
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
    }

    private struct State {
        var next: UInt64
        var done = 0
        var sum = Sum()
        /// The lowest one, so that it is the same one in each run.
        var failing: UInt64?
    }

    /// After so many seeds it says how far it is.
    private static let stretch = 250

    private let first: UInt64
    private let wanted: Int
    private let began = ContinuousClock.now
    private let state: Guarded<State>

    init(from first: UInt64, failovers wanted: Int) {
        self.first = first
        self.wanted = wanted
        state = Guarded(State(next: first))
    }

    /// The next seed to run; nil if there were failovers enough, or one failed.
    func nextSeed() -> UInt64? {
        state.withLock { state in
            guard state.sum.failovers < wanted, state.failing == nil else { return nil }
            defer { state.next += 1 }
            return state.next
        }
    }

    /// - Returns: How far it is, now and then.
    func note(_ report: SimulationReport, of seed: UInt64) -> String? {
        state.withLock { state in
            if !report.violations.isEmpty { state.failing = min(state.failing ?? seed, seed) }
            state.sum.add(report)
            state.done += 1
            return state.done.isMultiple(of: Self.stretch) ? line(state) : nil
        }
    }

    /// The lowest of those that failed.
    var failingSeed: UInt64? { state.withLock { $0.failing } }

    /// All that was run.
    var summary: String { state.withLock { line($0) } }

    private func line(_ state: State) -> String {
        let (sum, took) = (state.sum, began.duration(to: .now))
        return "seeds \(first)...\(state.next - 1): \(sum.failovers) failovers, \(sum.statements) statements, "
            + "\(sum.jobs) jobs in \(sum.elapsed.components.seconds) virtual s, \(took.components.seconds) s; "
            + "at most a second and host: \(sum.monitorConnects) connects of monitors, \(sum.poolConnects) of pools, "
            + "\(sum.probes) probes"
    }
}

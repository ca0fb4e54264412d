// SPDX-License-Identifier: Apache-2.0

/// What came of a simulated run.
public struct SimulationReport: Sendable {
    /// Promises that were broken, with when; empty is good.
    public private(set) var violations: [String] = []
    /// Promotions.
    public private(set) var failovers = 0
    /// Statements that were sent.
    public private(set) var statements = 0
    /// How many pieces of work the executor ran.
    public internal(set) var jobs = 0
    /// What happened, as one number: two runs of a scenario have the same one.
    public private(set) var digest: UInt64 = 0
    /// What happened, line by line, if that was asked for.
    public private(set) var trace: [String] = []
    /// The most connects of a monitor to one host within a second.
    public private(set) var mostMonitorConnects = 0
    /// The most connects of a pool to one host within a second.
    public private(set) var mostPoolConnects = 0
    /// The most probes of one host within a second.
    public private(set) var mostProbes = 0
    /// How much virtual time passed.
    public private(set) var elapsed = Duration.zero

    init() {}

    mutating func take(_ world: SimulatedWorld) {
        elapsed = .nanoseconds(world.time.elapsed)
        let (tally, trace) = world.look { ($0.tally, $0.trace) }
        violations = tally.violations
        failovers = tally.failovers
        statements = tally.statements
        mostMonitorConnects = tally.mostMonitorConnects
        mostPoolConnects = tally.mostPoolConnects
        mostProbes = tally.mostProbes
        digest = trace.digest ^ UInt64(jobs)
        self.trace = trace.lines
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import PosthouseCluster
import PosthousePool

/// Runs the production cluster, as it is, against simulated servers, in virtual time, on the calling thread.
///
/// Monitors, pools, timers and users are tasks of one executor that runs them one at a time, in an order drawn from the
/// scenario's seed. So a scenario always runs the same way, and takes only as long as its work does.
///
/// ```swift
/// let report = Simulation.run(Scenario(seed: 1, faults: [ScheduledFault(at: 500, .crash(host: .primary))])) { stage in
///     try await stage.cluster.write { db in try await db.insert(1) }
/// }
/// ```
public enum Simulation {
    /// Runs a scenario with clients that write and read all the time, and checks what the cluster promises.
    ///
    /// - Parameters:
    ///   - scenario: What happens.
    ///   - records: Whether the report has the trace in lines. Default: only its digest.
    public static func run(_ scenario: Scenario, records: Bool = false) -> SimulationReport {
        run(scenario, records: records, neglecting: [])
    }

    /// Runs a scenario with work of your own. The cluster is closed when that ends.
    ///
    /// - Parameters:
    ///   - scenario: What happens; its clients do not.
    ///   - configuration: The cluster's. Default: one drawn from the seed.
    ///   - records: Whether the report has the trace in lines. Default: only its digest.
    ///   - body: What uses the cluster. It has to stay on its task's executor: what it awaits elsewhere is not simulated. If it
    ///     throws, that is in ``SimulationReport/violations``.
    public static func run(
        _ scenario: Scenario,
        configuration: ClusterConfiguration? = nil,
        records: Bool = false,
        _ body: @escaping @Sendable (Stage) async throws -> Void
    ) -> SimulationReport {
        perform(scenario, configuration ?? .drawn(seed: scenario.seed), records: records, neglecting: []) { stage in
            try await body(stage)
            stage.world.apply(.heal)
        }
    }

    /// - Parameters:
    ///   - configuration: The cluster's. Default: one drawn from the seed.
    ///   - duties: What the driver does not do.
    ///   - guards: What the cluster does without; the raw value.
    package static func run(
        _ scenario: Scenario,
        configuration: ClusterConfiguration? = nil,
        records: Bool = false,
        neglecting duties: Duties,
        without guards: UInt32 = 0
    ) -> SimulationReport {
        var configuration = configuration ?? .drawn(seed: scenario.seed)
        configuration.guardsLeftOut = guards
        return perform(scenario, configuration, records: records, neglecting: duties) { [configuration] stage in
            await Load(scenario, configuration, on: stage).run()
        }
    }

    /// How long a run may take longer than its scenario, in virtual nanoseconds.
    private static let patience: Int64 = 120_000_000_000
    /// So many jobs at one moment are no progress any more.
    private static let mostJobsAtOnce = 5_000_000

    private static func perform(
        _ scenario: Scenario,
        _ configuration: ClusterConfiguration,
        records: Bool,
        neglecting duties: Duties,
        _ body: @escaping @Sendable (Stage) async throws -> Void
    ) -> SimulationReport {
        ThreadGuise.put(on: 0, seed: scenario.seed)
        defer { ThreadGuise.takeOff() }
        var seeds = SplitMix64(seed: scenario.seed)
        let executor = SimulatedExecutor(seed: seeds.next())
        let time = SimulatedTime(seed: seeds.next(), executor: executor)
        let world = SimulatedWorld(
            WorldState(
                hosts: scenario.hosts,
                isSynchronous: scenario.isSynchronous,
                time: time,
                seed: seeds.next(),
                records: records
            )
        )
        let driver = SimulatedDriver(world: world, neglected: duties)
        let isOver = Guarded(false)
        let clusterSeed = seeds.next()
        Task(executorPreference: executor) {
            do {
                let stage = try Stage(scenario, configuration, driver, seed: clusterSeed)
                try await body(stage)
                await stage.close()
            } catch {
                world.violate("the run ended with an error: \(error)")
            }
            isOver.withLock { $0 = true }
        }
        let last = Int64(scenario.faults.last?.milliseconds ?? 0) * 1_000_000
        var report = SimulationReport()
        report.jobs = turn(executor, time, world, until: last + patience) { isOver.withLock { $0 } }
        world.set(nil)
        inspect(world, time, executor)
        report.take(world)
        return report
    }

    /// Runs what is ready, and when nothing is, jumps to what is next; until nothing is left at all.
    private static func turn(
        _ executor: SimulatedExecutor,
        _ time: SimulatedTime,
        _ world: SimulatedWorld,
        until end: Int64,
        _ isOver: () -> Bool
    ) -> Int {
        var jobs = 0
        while true {
            var atOnce = 0
            while executor.runNext() {
                atOnce += 1
                if atOnce > mostJobsAtOnce {
                    world.violate("time does not go on: tasks wake each other for ever")
                    return jobs
                }
            }
            jobs += atOnce
            if time.runNext(until: end) { continue }
            if !isOver() { world.violate("the run does not end: somebody waits for what never comes") }
            return jobs
        }
    }

    /// Nothing may be left.
    private static func inspect(_ world: SimulatedWorld, _ time: SimulatedTime, _ executor: SimulatedExecutor) {
        if time.sleeping > 0 { world.violate("\(time.sleeping) tasks sleep on after the end") }
        if executor.strays > 0 { world.violate("\(executor.strays) jobs came from outside of the simulation") }
        let (sessions, exchanges) = world.look { ($0.openSessions, $0.exchanges.count - $0.freeExchanges.count) }
        if sessions > 0 { world.violate("\(sessions) connections are open after the end") }
        if exchanges > 0 { world.violate("\(exchanges) questions are under way after the end") }
    }
}

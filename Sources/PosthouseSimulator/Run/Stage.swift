// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import PosthouseCluster
import PosthousePool

/// What a simulated run plays on: the cluster under test, and the world around it.
public final class Stage: Sendable {
    /// The production cluster.
    public let cluster: Cluster<SimulatedDriver>
    /// The servers and the network.
    public let world: SimulatedWorld
    private let watch: Watch

    init(
        _ scenario: Scenario,
        _ configuration: ClusterConfiguration,
        _ driver: SimulatedDriver,
        seed: UInt64
    ) throws {
        world = driver.world
        var configuration = configuration
        configuration.seed = seed
        Watch.observe(&configuration, scenario.hosts, for: world)
        let draws = Guarded(SplitMix64(seed: seed &+ 1))
        cluster = try Cluster(
            endpoints: (0..<scenario.hosts).map { SimulatedDriver.Endpoint(host: $0) },
            driver: driver,
            configuration: configuration,
            clock: driver.world.time,
            random: { draws.withLock { Double.random(in: 0...1, using: &$0) } }
        )
        watch = Watch(cluster, driver.world, scenario.hosts)
        world.set(Membership(cluster))
        world.plan(scenario.faults, Happenings(scenario.faults, world))
        watch.run(0)
    }

    /// The virtual time.
    public var time: SimulatedTime { world.time }

    func close() async {
        await cluster.close(timeout: .seconds(5))
        watch.end()
    }
}

/// Has the scenario's faults happen.
private final class Happenings: Errand {
    private let faults: [ScheduledFault]
    private let world: SimulatedWorld

    init(_ faults: [ScheduledFault], _ world: SimulatedWorld) {
        self.faults = faults
        self.world = world
    }

    func run(_ token: UInt64) { world.apply(faults[Int(token)].fault) }
}

// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

extension Cluster {
    /// Makes a cluster whose hosts are those that a source names, now and later.
    ///
    /// Until the source has answered, requests wait. Hosts that the source has never named (added by ``addHost(_:)``) are
    /// none of its business.
    ///
    /// - Parameters:
    ///   - source: Names the hosts.
    ///   - rules: How far the source is trusted.
    ///   - driver: How to talk to them.
    ///   - configuration: Pools, timeouts, routing.
    ///   - clock: The time, and the thread that monitors run on.
    ///   - random: Uniform in 0...1, for jitter.
    ///   - observer: Hears what happens in the hosts' pools. Default: nobody.
    ///   - onDrop: Called if the cluster is dropped without ``close(timeout:)`` or ``terminate()``.
    /// - Throws: ``ClusterError`` with code `invalidArgument`.
    public convenience init(
        source: some TopologySource<Driver.Endpoint>,
        rules: SourceRules = SourceRules(),
        driver: Driver,
        configuration: ClusterConfiguration = ClusterConfiguration(),
        clock: any ClusterClock,
        random: @escaping @Sendable () -> Double = { Double.random(in: 0...1) },
        observer: (any PoolObserver)? = nil,
        onDrop: (@Sendable () -> Void)? = nil
    ) throws(ClusterError) {
        try rules.validate()
        try self.init(
            startingWith: [],
            driver: driver,
            configuration: configuration,
            clock: clock,
            random: random,
            observer: observer,
            onDrop: onDrop
        )
        follow(source, rules: rules, random: random)
    }

    /// Lets a source say which hosts belong to the cluster, from now until it is closed. To be called once.
    ///
    /// - Parameters:
    ///   - rules: Valid ones.
    ///   - notice: Is told when the source begins to fail, and when it answers again.
    package func follow(
        _ source: some TopologySource<Driver.Endpoint>,
        rules: SourceRules,
        random: @escaping @Sendable () -> Double = { Double.random(in: 0...1) },
        notice: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        let follower = SourceFollower(
            source,
            hosts: CoreHosts(core: core),
            rules: rules,
            clock: core.clock,
            bell: core.sourceBell,
            random: random,
            notice: notice
        )
        core.keep(Task(name: "posthouse source", executorPreference: core.clock.executor) { await follower.run() })
    }
}

/// A cluster's hosts, for a source.
///
/// What the operator did meanwhile stands: a host that is there already, or not any more, is left as it is.
struct CoreHosts<Driver: ClusterDriver>: SourcedHosts {
    let core: ClusterCore<Driver>

    func sight(of endpoint: Driver.Endpoint) -> HostRoster<Driver.Endpoint>.Sight { core.sight(of: endpoint) }

    func isIdle(_ endpoint: Driver.Endpoint) -> Bool { core.leases(on: endpoint) == 0 }

    func add(_ endpoint: Driver.Endpoint) { try? core.add(endpoint) }

    func allowReads(_ allows: Bool, on endpoint: Driver.Endpoint) {
        guard core.withholding.readless.contains(endpoint) == allows else { return }
        core.withhold { withholding in
            if allows { withholding.readless.remove(endpoint) } else { withholding.readless.insert(endpoint) }
        }
    }

    func drain(_ endpoint: Driver.Endpoint) { try? core.drain(endpoint) }

    func undrain(_ endpoint: Driver.Endpoint) { try? core.undrain(endpoint) }

    func remove(_ endpoint: Driver.Endpoint) {
        allowReads(true, on: endpoint)
        try? core.remove(endpoint)
    }
}

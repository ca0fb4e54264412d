// SPDX-License-Identifier: Apache-2.0

public import Logging
import PosthouseBase
public import PosthouseCluster
public import PosthousePostgres
import PosthouseReactor

/// Connections to a highly available PostgreSQL: writes to the primary, reads to replicas.
///
/// ```swift
/// let shop = try PostgresCluster("postgresql://app@db1,db2,db3/shop")
/// try await shop.write { db in try await db.execute("UPDATE stock SET left = left - 1 WHERE id = \(id)") }
/// ```
public typealias PostgresCluster = Cluster<LibPQDriver>

extension Cluster where Driver == LibPQDriver {
    /// Makes a cluster from a connection string and starts watching its hosts.
    ///
    /// - Parameters:
    ///   - connectionString: A URI or keyword/value pairs, as libpq reads them, with any number of hosts.
    ///   - credentials: Looks up user and password for each connection that is opened. Default: what is given above.
    ///   - configuration: Pools, timeouts, routing.
    ///   - session: How sessions are set up.
    ///   - recycling: What is done with a session between two users. Default: ``RecyclingMethod/fast``.
    ///   - logger: Is told of changes of hosts, and warned of leases that last too long, hosts where no connection can be
    ///     opened, and what looks like a mistake. Default: nobody.
    /// - Throws: ``ConnectionStringError``, ``ClusterError``, or `ReactorError` if the system has no thread or
    ///   descriptor left for the event loops.
    public convenience init(
        _ connectionString: String,
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: ClusterConfiguration = ClusterConfiguration(),
        session: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        logger: Logger? = nil
    ) throws {
        try self.init(
            ConnectionParameters(connectionString),
            credentials: credentials,
            configuration: configuration,
            session: session,
            recycling: recycling,
            logger: logger
        )
    }

    /// Makes a cluster from parsed parameters and starts watching its hosts.
    ///
    /// - Parameters:
    ///   - parameters: The hosts, and how to log in to them.
    ///   - credentials: Looks up user and password for each connection that is opened. Default: what is given above.
    ///   - configuration: Pools, timeouts, routing.
    ///   - session: How sessions are set up.
    ///   - recycling: What is done with a session between two users. Default: ``RecyclingMethod/fast``.
    ///   - logger: Is told of changes of hosts, and warned of leases that last too long, hosts where no connection can be
    ///     opened, and what looks like a mistake. Default: nobody.
    /// - Throws: ``ClusterError``, or `ReactorError` if the system has no thread or descriptor left for the event loops.
    public convenience init(
        _ parameters: ConnectionParameters,
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: ClusterConfiguration = ClusterConfiguration(),
        session: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        logger: Logger? = nil
    ) throws {
        try self.init(
            hosts: parameters.hosts,
            parameters: parameters,
            credentials: credentials,
            configuration: configuration,
            session: session,
            recycling: recycling,
            logger: logger
        )
    }

    /// - Parameter hosts: Whom to start with; none if a source will name them.
    convenience init(
        hosts: [HostEndpoint],
        parameters: ConnectionParameters,
        credentials: DatabaseCredentials.Provider?,
        configuration: ClusterConfiguration,
        session: SessionOptions,
        recycling: RecyclingMethod,
        logger: Logger?
    ) throws {
        let monitorLoop = try MonitorLoop.shared.get()
        let log = logger.map { ClusterLog($0, name: configuration.name) }
        try self.init(
            startingWith: hosts,
            driver: LibPQDriver(
                parameters: parameters,
                credentials: credentials,
                options: session,
                recycling: recycling,
                loops: try EventLoopGroup.shared,
                monitorLoop: monitorLoop,
                configuration: configuration
            ),
            configuration: configuration,
            clock: LoopTime(loop: monitorLoop),
            random: { Double.random(in: 0...1) },
            observer: log,
            onDrop: { log?.warn("cluster was dropped without close; it has stopped") }
        )
        guard let log else { return }
        for notice in parameters.notices { log.warn(notice.description) }
        log.follow(events)
    }
}

/// The one loop of the process that serves all monitors.
final class MonitorLoop: Sendable {
    static let shared = MonitorLoop()

    private let loop = Guarded<EventLoop?>(nil)

    func get() throws(ReactorError) -> EventLoop {
        try loop.withLock { loop throws(ReactorError) in
            if let loop { return loop }
            let made = try EventLoop(name: "posthouse-monitor")
            loop = made
            return made
        }
    }
}

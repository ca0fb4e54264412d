// SPDX-License-Identifier: Apache-2.0

public import Logging
public import PosthouseCluster
public import PosthousePostgres

extension Cluster where Driver == LibPQDriver {
    /// Makes a cluster whose hosts are those that a source names, now and later.
    ///
    /// The cluster starts to ask the source at once; until it has answered, requests wait. Hosts are added and taken away as
    /// ``SourceRules`` says. ``ClusterSnapshot/source`` tells how the source does.
    ///
    /// - Parameters:
    ///   - connectionString: How to log in: a URI or keyword/value pairs, as libpq reads them. The hosts in it are not used.
    ///   - source: Names the hosts.
    ///   - rules: How far the source is trusted.
    ///   - credentials: Looks up user and password for each connection that is opened. Default: what is given above.
    ///   - configuration: Pools, timeouts, routing.
    ///   - session: How sessions are set up.
    ///   - recycling: What is done with a session between two users. Default: ``RecyclingMethod/fast``.
    ///   - logger: Is told what happens to hosts. Default: nobody.
    /// - Throws: ``ConnectionStringError``, ``ClusterError``, or `ReactorError` if the system has no thread or
    ///   descriptor left for the event loops.
    public convenience init(
        _ connectionString: String,
        source: some TopologySource<HostEndpoint>,
        rules: SourceRules = SourceRules(),
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: ClusterConfiguration = ClusterConfiguration(),
        session: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        logger: Logger? = nil
    ) throws {
        try rules.validate()
        try self.init(
            hosts: [],
            parameters: ConnectionParameters(connectionString),
            credentials: credentials,
            configuration: configuration,
            session: session,
            recycling: recycling,
            logger: logger
        )
        let log = logger.map { ClusterLog($0, name: configuration.name) }
        follow(source, rules: rules, notice: { log?.warn($0) })
    }

    /// Makes a cluster in which every address of the connection string's host names is a host, now and later.
    ///
    /// As ``init(_:source:rules:credentials:configuration:session:recycling:logger:)`` with a ``DNSSource``.
    public convenience init(
        resolving connectionString: String,
        rules: SourceRules = SourceRules(),
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: ClusterConfiguration = ClusterConfiguration(),
        session: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        logger: Logger? = nil
    ) throws {
        try self.init(
            connectionString,
            source: DNSSource(ConnectionParameters(connectionString).hosts),
            rules: rules,
            credentials: credentials,
            configuration: configuration,
            session: session,
            recycling: recycling,
            logger: logger
        )
    }
}

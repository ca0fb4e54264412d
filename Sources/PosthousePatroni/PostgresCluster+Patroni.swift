// SPDX-License-Identifier: Apache-2.0

public import Logging
public import Posthouse

extension Cluster where Driver == LibPQDriver {
    /// Makes a cluster whose hosts are those that Patroni names, now and later.
    ///
    /// ```swift
    /// let shop = try PostgresCluster(
    ///     "postgresql://app@/shop?sslmode=verify-full",
    ///     patroni: ["https://db1:8008", "https://db2:8008", "https://db3:8008"]
    /// )
    /// ```
    /// The cluster starts to ask at once; until Patroni has answered, requests wait. Hosts are added and taken away as
    /// ``SourceRules`` says.
    ///
    /// - Parameters:
    ///   - connectionString: How to log in. The hosts in it are not used.
    ///   - urls: Where the REST API of each Patroni is; see ``PatroniSource``.
    ///   - transport: Sends the requests to Patroni. Default: Foundation's `URLSession`.
    ///   - rules: How far Patroni's answers are trusted.
    ///   - credentials: Looks up user and password for each connection that is opened. Default: what is given above.
    ///   - configuration: Pools, timeouts, routing.
    ///   - session: How sessions are set up.
    ///   - recycling: What is done with a session between two users. Default: ``RecyclingMethod/fast``.
    ///   - logger: Is told what happens to hosts. Default: nobody.
    /// - Throws: ``PatroniError`` with code `invalidURL`; else as ``init(_:source:rules:credentials:configuration:session:recycling:logger:)``.
    public convenience init(
        _ connectionString: String,
        patroni urls: [String],
        transport: (any PatroniTransport)? = nil,
        rules: SourceRules = SourceRules(),
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: ClusterConfiguration = ClusterConfiguration(),
        session: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        logger: Logger? = nil
    ) throws {
        try self.init(
            connectionString,
            source: PatroniSource(urls, transport: transport),
            rules: rules,
            credentials: credentials,
            configuration: configuration,
            session: session,
            recycling: recycling,
            logger: logger
        )
    }
}

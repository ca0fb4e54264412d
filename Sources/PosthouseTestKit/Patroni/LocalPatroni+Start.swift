// SPDX-License-Identifier: Apache-2.0

extension LocalPatroni {
    /// What a cluster is made of. The defaults make three members that elect a leader as soon as Patroni can.
    public struct Configuration: Sendable {
        /// How many members. Default: 3.
        public var members: Int
        /// Whether a commit waits for a replica, which alone may be elected then (`synchronous_mode`). Default: false.
        public var synchronous: Bool
        /// For how long a leader is believed to live without a word from it (Patroni's `ttl`), in whole seconds, at least
        /// 5; newer versions of Patroni take no less than 20. Default: 8 s.
        public var lease: Duration
        /// Settings of PostgreSQL, unquoted. They win over the kit's own. Default: none.
        public var settings: [String: String]
        /// Statements to be run on the leader once it is ready, before `start` returns. Default: none.
        public var setUp: [String]
        /// The server programs. Default: nil, ``PostgresInstallation/find()``.
        public var installation: PostgresInstallation?
        /// How long starting may take as a whole. Default: 180 s, as machines that run tests can be slow.
        public var startTimeout: Duration

        /// Three members, unless told otherwise.
        public init(
            members: Int = 3,
            synchronous: Bool = false,
            lease: Duration = .seconds(8),
            settings: [String: String] = [:],
            setUp: [String] = [],
            installation: PostgresInstallation? = nil,
            startTimeout: Duration = .seconds(180)
        ) {
            self.members = members
            self.synchronous = synchronous
            self.lease = lease
            self.settings = settings
            self.setUp = setUp
            self.installation = installation
            self.startTimeout = startTimeout
        }

        /// That of the servers alone.
        fileprivate var servers: LocalCluster.Configuration {
            LocalCluster.Configuration(
                replicas: members - 1,
                settings: settings,
                installation: installation,
                startTimeout: startTimeout
            )
        }

        fileprivate func check() throws(LocalClusterError) {
            guard (1...16).contains(members) else {
                throw LocalClusterError(.invalidConfiguration, "A cluster has 1 to 16 members, not \(members).")
            }
            guard lease >= .seconds(5) else {
                throw LocalClusterError(.invalidConfiguration, "A lease of \(lease.inSeconds) is too short: 5 s.")
            }
        }
    }

    /// Whether the programs are installed: Patroni and etcd.
    public static var isInstalled: Bool {
        InstalledProgram.isInstalled("patroni") && InstalledProgram.isInstalled("etcd")
    }

    /// Starts a cluster, and waits until its first member leads and the others stream from it.
    ///
    /// - Throws: ``LocalClusterError``, `installationNotFound` without Patroni or etcd; nothing is left over then.
    public static func start(_ configuration: Configuration = Configuration()) async throws(LocalClusterError)
        -> LocalPatroni
    {
        try configuration.check()
        let deadline = ContinuousClock.now + configuration.startTimeout
        var left: Duration { ContinuousClock.now.duration(to: deadline) }
        // Patroni takes over data directories that are there already: quicker than to let it make them.
        let servers = try await LocalCluster.prepared(configuration.servers)
        do throws(LocalClusterError) {
            let etcd = try LocalEtcd(in: servers.layout)
            let settings = PatroniSettings(configuration, etcdPort: etcd.port)
            var members: [PatroniMember] = []
            for node in servers.nodes {
                let reservation = try PortReservation.any()
                let file = "\(servers.layout.nodeFolder(node.name))/patroni.json"
                try Files.write(settings.text(of: node, restPort: reservation.port), to: file, for: servers.layout.user)
                members.append(try PatroniMember(node, reservation: reservation, configuration: file))
            }
            let patroni = LocalPatroni(
                members: members,
                servers: servers,
                etcd: etcd,
                isSynchronous: configuration.synchronous
            )
            try await etcd.start(within: left)
            // The first to come leads; a replica that were the first would not start.
            try await members[0].start(within: left)
            _ = try await patroni.leader(within: left)
            let limit = left
            try await concurrently(members.dropFirst()) { member throws(LocalClusterError) in
                try await member.start(within: limit)
            }
            try await patroni.waitUntilWhole(within: left)
            for statement in configuration.setUp { try await members[0].node.query(statement, within: left) }
            for member in members.dropFirst() {
                try await member.node.waitUntilCaughtUp(with: members[0].node, within: left)
            }
            return patroni
        } catch {
            try? await servers.shutdown()
            throw error
        }
    }

    /// Starts a cluster for the time of `body`, and ends it however that ends.
    ///
    /// If `body` throws, the ends of the logs are written to the standard error output first.
    public static func withCluster<Result>(
        _ configuration: Configuration = Configuration(),
        _ body: (LocalPatroni) async throws -> Result
    ) async throws -> Result {
        let patroni = try await start(configuration)
        do {
            let result = try await body(patroni)
            try await patroni.shutdown()
            return result
        } catch {
            writeToStandardError("A test with Patroni failed: \(error)\n\(patroni.logs(lines: 30))\n")
            try? await patroni.shutdown()
            throw error
        }
    }
}

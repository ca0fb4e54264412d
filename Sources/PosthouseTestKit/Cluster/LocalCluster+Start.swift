// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

extension LocalCluster {
    /// Starts a throwaway cluster and waits until its replicas stream.
    ///
    /// - Throws: ``LocalClusterError``; nothing is left over then.
    public static func start(_ configuration: Configuration = Configuration()) async throws(LocalClusterError)
        -> LocalCluster
    {
        try await self.throwaway(configuration) { cluster throws(LocalClusterError) in
            try await cluster.build(configuration, sharing: true)
        }
    }

    /// A throwaway cluster whose servers could run, and do not.
    static func prepared(_ configuration: Configuration) async throws(LocalClusterError) -> LocalCluster {
        try await self.throwaway(configuration) { cluster throws(LocalClusterError) in
            try await cluster.fill(configuration, sharing: true, until: .now + configuration.startTimeout)
        }
    }

    private static func throwaway(
        _ configuration: Configuration,
        _ build: (LocalCluster) async throws(LocalClusterError) -> Void
    ) async throws(LocalClusterError) -> LocalCluster {
        try configuration.check()
        let user = try ServerUser.current()
        let watchdog = try await offCooperativePool { () throws(LocalClusterError) in
            try Watchdog.inTemporaryFolder(prefix: "posthouse", user: user)
        }
        do throws(LocalClusterError) {
            let layout = try configuration.layout(in: watchdog.folder, user: user)
            let cluster = LocalCluster(
                nodes: try configuration.nodes(layout: layout),
                layout: layout,
                watchdog: watchdog,
                directory: nil,
                primaryName: "node1"
            )
            try await build(cluster)
            return cluster
        } catch {
            try? await offCooperativePool { () throws(LocalClusterError) in try watchdog.cleanUp() }
            throw error
        }
    }

    /// Starts a cluster for the time of `body`, and ends it however that ends.
    ///
    /// If `body` throws, the ends of the servers' logs are written to the standard error output first.
    public static func withCluster<Result>(
        _ configuration: Configuration = Configuration(),
        _ body: (LocalCluster) async throws -> Result
    ) async throws -> Result {
        let cluster = try await self.start(configuration)
        do {
            let result = try await body(cluster)
            try await cluster.shutdown()
            return result
        } catch {
            writeToStandardError("A test with a local cluster failed: \(error)\n\(cluster.logs(lines: 20))\n")
            try? await cluster.shutdown()
            throw error
        }
    }

    /// From an empty folder to a cluster that runs.
    ///
    /// - Parameter sharing: Whether `initdb` is run once for all clusters of this process, or for this one.
    func build(_ configuration: Configuration, sharing: Bool) async throws(LocalClusterError) {
        let deadline = ContinuousClock.now + configuration.startTimeout
        var left: Duration { ContinuousClock.now.duration(to: deadline) }
        let primary = self.nodes[0]

        try await self.fill(configuration, sharing: sharing, until: deadline)
        let limit = left
        try await concurrently(self.nodes[...]) { node throws(LocalClusterError) in
            try await node.start(within: limit)
        }
        for replica in self.nodes.dropFirst() { try await replica.waitUntilStreaming(from: primary, within: left) }
        guard !configuration.setUp.isEmpty else { return }
        for statement in configuration.setUp { try await primary.query(statement, within: left) }
        try await self.waitUntilCaughtUp(within: left)
    }

    /// From an empty folder to nodes that can be started.
    private func fill(
        _ configuration: Configuration,
        sharing: Bool,
        until deadline: ContinuousClock.Instant
    ) async throws(LocalClusterError) {
        var left: Duration { ContinuousClock.now.duration(to: deadline) }
        let primary = self.nodes[0]
        for node in self.nodes { try Files.makeFolder(self.layout.nodeFolder(node.name), for: self.layout.user) }
        try self.layout.writeHostBasedAuthentication()
        if self.layout.tls { try await self.layout.makeCertificate(within: left) }
        let origin = try await self.origin(sharing: sharing, within: left)
        let limit = left
        try await self.layout.fill(primary, from: origin, within: limit)
        try primary.writeConfiguration(following: nil)
        if configuration.lowersWhatReplicasNeed { try await self.layout.runOnce(primary, within: left) }
        // A primary that is cleanly stopped is its own base backup.
        let copy = Origin(dataDirectory: primary.dataDirectory)
        try await concurrently(self.nodes.dropFirst()) { node throws(LocalClusterError) in
            try await self.layout.fill(node, from: copy, within: limit)
            try node.writeConfiguration(following: primary.port)
        }
    }

    /// The data directory that all nodes are copies of: the process's template, or the primary's own.
    private func origin(sharing: Bool, within limit: Duration) async throws(LocalClusterError) -> Origin {
        let layout = self.layout
        if sharing {
            let template = try await ClusterTemplate.shared(layout.installation, user: layout.user, within: limit)
            if let offset = template.checksumOffset {
                return Origin(
                    dataDirectory: template.dataDirectory,
                    identifier: SystemIdentifier.random(),
                    checksumOffset: offset
                )
            }
        }
        let directory = self.nodes[0].dataDirectory
        try await layout.installation.initializeCluster(
            directory,
            in: layout.folder,
            user: layout.user,
            within: limit
        )
        return Origin(dataDirectory: directory)
    }
}

/// What a data directory is a copy of, and how the copy gets an identity of its own, if it does.
private struct Origin {
    var dataDirectory: String
    var identifier: UInt64 = 0
    var checksumOffset: Int?
}

extension ClusterLayout {
    fileprivate func fill(_ node: LocalNode, from origin: Origin, within limit: Duration)
        async throws(LocalClusterError)
    {
        if origin.dataDirectory != node.dataDirectory {
            try await self.copy(origin.dataDirectory, to: node.dataDirectory, within: limit)
        }
        if let offset = origin.checksumOffset {
            try SystemIdentifier.write(origin.identifier, to: node.dataDirectory, checksumAt: offset)
        }
    }

    /// Starts and stops a primary, so that its control file knows its settings.
    fileprivate func runOnce(_ node: LocalNode, within limit: Duration) async throws(LocalClusterError) {
        do {
            // Without input it ends at once.
            try await self.program(
                "postgres",
                ["--single", "-D", node.dataDirectory, "postgres"],
                directory: node.dataDirectory,
                output: node.logFile
            ).run(within: limit)
        } catch {
            guard error.code == .commandFailed else { throw error }
            throw node.failure(.startFailed, "The server could not run.")
        }
    }
}

extension LocalCluster.Configuration {
    /// Whether a setting is below what the control file of a new data directory says. A replica does not start if such a
    /// setting is lower than its primary's was when it was copied (PostgreSQL: "Hot Standby", administrator's overview).
    var lowersWhatReplicasNeed: Bool {
        let initial = [
            "max_connections": 100, "max_worker_processes": 8, "max_locks_per_transaction": 64, "max_wal_senders": 10,
        ]
        return self.replicas > 0
            && initial.contains { name, value in (self.settings[name].flatMap(Int.init) ?? value) < value }
    }

    func layout(in folder: String, user: ServerUser) throws(LocalClusterError) -> ClusterLayout {
        let installation: PostgresInstallation
        if let asked = self.installation {
            installation = asked
        } else {
            installation = try .find()
        }
        return ClusterLayout(
            folder: folder,
            installation: installation,
            user: user,
            settings: self.settings,
            hostBasedAuthentication: self.hostBasedAuthentication,
            tls: self.tls,
            durable: self.durable
        )
    }

    func nodes(layout: ClusterLayout) throws(LocalClusterError) -> [LocalNode] {
        var nodes: [LocalNode] = []
        for index in 0...self.replicas {
            let reservation: PortReservation
            if let basePort {
                reservation = try .exactly(basePort + index)
            } else {
                reservation = try .any()
            }
            nodes.append(
                LocalNode(
                    name: "node\(index + 1)",
                    port: reservation.port,
                    reservation: reservation,
                    layout: layout
                )
            )
        }
        return nodes
    }
}

func writeToStandardError(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}

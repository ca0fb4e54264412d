// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

extension LocalNode {
    /// Makes a replica a primary, on a new timeline. Nobody else is told: the old primary, if it runs, stays one, and
    /// the other replicas keep following it. ``LocalCluster/failOver(to:within:)`` tells them.
    ///
    /// - Parameters:
    ///   - waiting: Whether to wait until it takes writes. Default: true.
    ///   - limit: How long. Default: 120 s.
    /// - Throws: ``LocalClusterError/Code/notAReplica``, ``LocalClusterError/Code/notRunning``.
    public func promote(waiting: Bool = true, within limit: Duration = .seconds(120)) async throws(LocalClusterError) {
        let deadline = ContinuousClock.now + limit
        guard self.role == .replica else {
            throw LocalClusterError(.notAReplica, "It is a primary already: it cannot be promoted.", node: self.name)
        }
        let postmaster = try self.postmaster()
        // What `pg_ctl promote` does; unlike pg_promote() it takes no session.
        try Files.write("", to: "\(self.dataDirectory)/promote", for: self.layout.user)
        sendSignal(SIGUSR1, to: postmaster)
        if waiting { try await self.waitUntilPromoted(deadline: deadline, limit: limit) }
    }

    /// Waits until the node is up as a primary.
    public func waitUntilPromoted(within limit: Duration = .seconds(120)) async throws(LocalClusterError) {
        try await self.waitUntilPromoted(deadline: .now + limit, limit: limit)
    }

    private func waitUntilPromoted(deadline: ContinuousClock.Instant, limit: Duration) async throws(LocalClusterError) {
        let promoted = try await waitUntil(deadline, every: .milliseconds(2)) { () throws(LocalClusterError) in
            guard let file = PostmasterFile(dataDirectory: self.dataDirectory), self.isAlive(file.pid) else {
                throw self.failure(.notRunning, "The server ended before it was promoted.")
            }
            return file.phase == "ready" && self.role == .primary && self.isInProduction
        }
        guard promoted else {
            throw self.failure(.timedOut, "The node was not promoted within \(limit.inSeconds).")
        }
    }

    /// Whether the server's control file says that recovery is over. The signal file goes a moment earlier, when the server
    /// refuses writes still.
    private var isInProduction: Bool {
        // `DBState` follows the system identifier and two version numbers; 6 is DB_IN_PRODUCTION (PostgreSQL:
        // `catalog/pg_control.h`).
        guard let control = Files.contents(of: "\(self.dataDirectory)/global/pg_control"), control.count > 20 else {
            return false
        }
        return control.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 16, as: Int32.self) } == 6
    }

    /// Makes a replica follow another node from now on.
    ///
    /// - Throws: ``LocalClusterError/Code/notAReplica``; ``LocalClusterError/Code/notRunning`` never, as a replica that
    ///   is down follows the new node when it starts.
    public func follow(_ source: LocalNode) async throws(LocalClusterError) {
        try await self.follow(port: source.port)
    }

    /// Makes a replica follow what listens on a loopback port, for example a ``FaultProxy`` in front of the primary,
    /// with which replication can be slowed down and cut.
    public func follow(port: Int) async throws(LocalClusterError) {
        guard self.role == .replica else {
            throw LocalClusterError(.notAReplica, "It is a primary: only made anew can it follow.", node: self.name)
        }
        try self.writeReplicationSource(port: port)
        guard try await !self.pids().isEmpty else { return }
        if self.majorVersion >= 13 {
            try await self.reload()
        } else {
            // PostgreSQL 12 reads this setting only when it starts.
            try await self.stop()
            try await self.start()
        }
    }

    /// Makes the node anew as a replica of another node, with a base backup, whatever it was and did before: the way
    /// back for a primary that was replaced. What it alone had written is lost.
    public func rejoin(following source: LocalNode, within limit: Duration = .seconds(180))
        async throws(LocalClusterError)
    {
        let deadline = ContinuousClock.now + limit
        try await self.kill()
        try await offCooperativePool { [dataDirectory] () throws(LocalClusterError) in
            try Files.remove(dataDirectory)
        }
        try await self.layout.program(
            "pg_basebackup",
            [
                "-D", self.dataDirectory, "-h", "127.0.0.1", "-p", "\(source.port)", "-U", "postgres",
                "--checkpoint=fast", "--no-sync", "--wal-method=stream",
            ],
            directory: self.layout.nodeFolder(self.name),
            output: "\(self.layout.nodeFolder(self.name))/rejoin.log"
        ).run(within: limit)
        try self.writeConfiguration(following: source.port)
        try await self.start(within: ContinuousClock.now.duration(to: deadline))
    }

    /// Waits until this replica has replayed everything that `source` has written by now.
    public func waitUntilCaughtUp(
        with source: LocalNode,
        within limit: Duration = .seconds(120)
    ) async throws(LocalClusterError) {
        let deadline = ContinuousClock.now + limit
        let written = try await source.value(
            of: "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END",
            within: limit
        )
        guard let written else {
            throw source.failure(.notRunning, "The node has no position in the log yet.")
        }
        let caughtUp = try await waitUntil(deadline) { () throws(LocalClusterError) in
            let answer = try await self.value(
                of: "SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= '\(written)'",
                within: limit
            )
            return answer == "t"
        }
        guard caughtUp else {
            throw self.failure(
                .timedOut,
                "The replica did not replay up to \(written) of \(source.name) within \(limit.inSeconds)."
            )
        }
    }

    /// Waits until this replica streams from `source`.
    public func waitUntilStreaming(
        from source: LocalNode,
        within limit: Duration = .seconds(120)
    ) async throws(LocalClusterError) {
        let streaming = try await waitUntil(.now + limit) { () throws(LocalClusterError) in
            let answer = try await source.value(
                of: """
                    SELECT count(*) FROM pg_stat_replication
                    WHERE application_name = '\(self.name)' AND state = 'streaming'
                    """,
                within: limit
            )
            return answer != "0"
        }
        guard streaming else {
            throw self.failure(
                .timedOut,
                "The replica does not stream from \(source.name) after \(limit.inSeconds)."
            )
        }
    }

    // MARK: - Files

    /// Writes the node's configuration; with a port to follow it is a replica, without one a primary.
    func writeConfiguration(following port: Int?) throws(LocalClusterError) {
        try Files.write(
            self.layout.settingsFile(for: self.name, port: self.port, majorVersion: self.majorVersion),
            to: "\(self.dataDirectory)/postgresql.conf",
            for: self.layout.user
        )
        guard let port else { return }
        try self.writeReplicationSource(port: port)
        try Files.write("", to: "\(self.dataDirectory)/standby.signal", for: self.layout.user)
    }

    private func writeReplicationSource(port: Int) throws(LocalClusterError) {
        let source =
            "host=127.0.0.1 port=\(port) user=postgres application_name=\(self.name) sslmode=disable connect_timeout=5"
        try Files.write(
            "primary_conninfo = \(ClusterLayout.quoted(source))\n",
            to: "\(self.dataDirectory)/replication.conf",
            for: self.layout.user
        )
    }
}

private func sendSignal(_ signal: Int32, to process: Int32) {
    kill(process, signal)
}

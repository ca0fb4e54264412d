// SPDX-License-Identifier: Apache-2.0

extension LocalNode {
    /// Runs SQL as the superuser over a session of its own, which ends afterwards.
    ///
    /// The session is the kit's own, not the driver's under test. Several statements may be separated by semicolons;
    /// the rows of all of them come one after the other.
    ///
    /// - Parameters:
    ///   - sql: The statements.
    ///   - database: Where. Default: `postgres`.
    ///   - limit: How long connecting and running may take. Default: 60 s.
    /// - Returns: The rows, each field as text, nil for NULL.
    /// - Throws: ``LocalClusterError/Code/queryFailed`` with the SQLSTATE, ``LocalClusterError/Code/connectionFailed``,
    ///   ``LocalClusterError/Code/timedOut`` (for example on a paused node).
    @discardableResult
    public func query(
        _ sql: String,
        database: String = "postgres",
        within limit: Duration = .seconds(60)
    ) async throws(LocalClusterError) -> [[String?]] {
        let deadline = ContinuousClock.now + limit
        let endpoint: DeadlineSocket.Endpoint =
            if let directory = self.socketDirectory {
                .socket("\(directory)/.s.PGSQL.\(self.port)")
            } else {
                .port(self.port)
            }
        return try await offCooperativePool { [name] () throws(LocalClusterError) in
            try QuerySession.run(sql, at: endpoint, database: database, node: name, deadline: deadline)
        }
    }

    /// The first field of the first row, or nil if there is none or it is NULL.
    public func value(
        of sql: String,
        database: String = "postgres",
        within limit: Duration = .seconds(60)
    ) async throws(LocalClusterError) -> String? {
        try await self.query(sql, database: database, within: limit).first?.first ?? nil
    }

    /// The timeline that the node writes or replays: 1 in a new cluster, and one more for each promotion.
    public func timeline() async throws(LocalClusterError) -> Int {
        // A primary that was just promoted names its old timeline in the control file until its first checkpoint, and
        // a replica there names the one of its last restart point: both must be asked for the log itself.
        let answer = try await self.value(
            of: """
                SELECT CASE WHEN pg_is_in_recovery()
                    THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
                        (SELECT timeline_id FROM pg_control_checkpoint()))
                    ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END
                """
        )
        return answer.flatMap { Int($0) } ?? 0
    }

    /// The identifier that all nodes of one cluster share and no other cluster has.
    public func systemIdentifier() async throws(LocalClusterError) -> String {
        try await self.value(of: "SELECT system_identifier FROM pg_control_system()") ?? ""
    }
}

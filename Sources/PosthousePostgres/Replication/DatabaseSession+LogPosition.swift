// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

extension DatabaseSession {
    /// Where the log of this server is: after everything that this session has committed, or as a replica has shown it.
    ///
    /// On a primary all that is written so far, whether or not it has reached the disk (`synchronous_commit = off`). On a
    /// replica what it has replayed. One round trip; a second one, once per call, where the server keeps the control file to
    /// itself.
    ///
    /// - Parameter timeout: How long it may take; nil (the default) means the session's timeout.
    /// - Throws: ``DatabaseError``; ``DatabaseError/Code/invalidStatement`` within a transaction, whose COMMIT would come
    ///   after the position.
    package func logPosition(timeout: Duration? = nil) async throws(DatabaseError) -> LogPosition {
        guard ![.inTransaction, .inFailedTransaction].contains(transactionStatus) else {
            throw DatabaseError(
                code: .invalidStatement,
                message: "The position of a commit is known after it: ask outside the transaction.",
                host: host,
                phase: .sending,
                outcome: .notSent
            )
        }
        do throws(DatabaseError) {
            return try Self.position(in: try await query(LogPositionQuery.full, timeout: timeout))
        } catch {
            guard error.isRefusal else { throw error }
        }
        return try Self.position(in: try await query(LogPositionQuery.withoutControlFile, timeout: timeout))
    }

    private static func position(in rows: Rows) throws(DatabaseError) -> LogPosition {
        typealias Columns = (Bool, Int64?, Int64?, Int64?, Int64, Int64)
        let columns = try rows.one().decode(Columns.self)
        let layout = LogPosition.Layout(
            blockSize: UInt64(clamping: columns.4),
            segmentSize: UInt64(clamping: columns.5)
        )
        let lsn = UInt64(clamping: columns.1 ?? 0)
        return LogPosition(
            systemIdentifier: columns.3.map(UInt64.init(bitPattern:)),
            timeline: columns.2.flatMap(UInt32.init(exactly:)),
            lsn: columns.0 ? lsn : layout.recordEnd(before: lsn)
        )
    }
}

/// What a session asks for a ``LogPosition``.
///
/// The timeline of a server that writes is the first part of the name of its current log file; on a replica it is what the
/// receiver follows, or what recovery reached.
private enum LogPositionQuery {
    static let full = sql(
        replicaTimeline: """
            greatest((SELECT received_tli FROM pg_stat_wal_receiver),
                     (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                     (SELECT timeline_id FROM pg_control_checkpoint()))
            """,
        systemIdentifier: "(SELECT system_identifier FROM pg_control_system())"
    )

    static let withoutControlFile = sql(
        replicaTimeline: "(SELECT received_tli FROM pg_stat_wal_receiver)",
        systemIdentifier: "NULL::int8"
    )

    /// Recovery is looked at once, so that a promotion in mid query cannot make the parts contradict each other.
    private static func sql(replicaTimeline: SQL, systemIdentifier: SQL) -> SQL {
        """
        SELECT recovering,
               CASE WHEN recovering THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0',
               CASE WHEN recovering THEN \(replicaTimeline)::int8
                    ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int8 END,
               \(systemIdentifier),
               current_setting('wal_block_size')::int8,
               pg_size_bytes(current_setting('wal_segment_size'))
        FROM (SELECT pg_is_in_recovery() AS recovering OFFSET 0) AS role
        """
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePostgres

/// The question that tells who a server is, in as much detail as it lets us ask.
///
/// The timeline of a server that writes is the first part of the name of its current log file; the control file knows
/// it only after the first checkpoint, and nobody can read that file while it is being written, as at the end of a promotion.
/// On a replica it is the highest of what the receiver follows, what recovery reached and the last checkpoint. What the
/// receiver follows, and from whom, is hidden from roles without `pg_read_all_stats`.
/// <https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-CONTROL-SYSTEM>
enum IdentityQuery: Int, CaseIterable, Sendable {
    /// All of it. An ordinary role may ask this on a server as it comes.
    case full
    /// Without the control file, which some providers keep to themselves.
    case withoutControlFile
    /// Only the role, for servers that refuse the rest.
    case roleOnly

    /// What to try when the server refuses this one.
    var simpler: IdentityQuery? { IdentityQuery(rawValue: rawValue + 1) }

    /// Recovery is looked at once, so that a promotion in mid query cannot make the parts contradict each other.
    var sql: SQL {
        switch self {
        case .full:
            """
            SELECT recovering, current_setting('default_transaction_read_only')::bool,
                   CASE WHEN recovering
                        THEN greatest((SELECT received_tli FROM pg_stat_wal_receiver),
                                      (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
                                      (SELECT timeline_id FROM pg_control_checkpoint()))::int8
                        ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int8 END,
                   CASE WHEN recovering THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0',
                   extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
                   (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8,
                   (SELECT system_identifier FROM pg_control_system()),
                   host(inet_server_addr()), inet_server_port(),
                   (SELECT sender_host FROM pg_stat_wal_receiver), (SELECT sender_port FROM pg_stat_wal_receiver)
            FROM (SELECT pg_is_in_recovery() AS recovering OFFSET 0) AS role
            """
        case .withoutControlFile:
            """
            SELECT recovering, current_setting('default_transaction_read_only')::bool,
                   CASE WHEN recovering
                        THEN (SELECT received_tli FROM pg_stat_wal_receiver)::int8
                        ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int8 END,
                   CASE WHEN recovering THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0',
                   extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
                   (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8,
                   NULL::int8,
                   host(inet_server_addr()), inet_server_port(),
                   (SELECT sender_host FROM pg_stat_wal_receiver), (SELECT sender_port FROM pg_stat_wal_receiver)
            FROM (SELECT pg_is_in_recovery() AS recovering OFFSET 0) AS role
            """
        case .roleOnly:
            """
            SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool,
                   NULL::int8, NULL::int8, NULL::float8, NULL::int8, NULL::int8,
                   NULL::text, NULL::int4, NULL::text, NULL::int4
            """
        }
    }
}

extension HostReport {
    /// Adds what the same run of the server said before; nil if this is another run, or may be.
    func completed(by known: HostReport) -> HostReport? {
        guard let incarnation, incarnation == known.incarnation, address == known.address else { return nil }
        var report = self
        report.systemIdentifier = systemIdentifier ?? known.systemIdentifier
        // A timeline of before the promotion is none of the server that writes.
        if isInRecovery, let before = known.timeline { report.timeline = max(timeline ?? before, before) }
        return report
    }

    /// Reads the one row of an ``IdentityQuery``.
    init(_ rows: Rows) throws {
        typealias Columns = (
            Bool, Bool, Int64?, Int64?, Double?, Int64?, Int64?, String?, Int32?, String?, Int32?
        )
        guard let row: Columns = try rows.decode(Columns.self).first else {
            throw HostFailure(.garbage, reason: "the server answered the question for its identity with no row")
        }
        self.init(
            isInRecovery: row.0,
            isReadOnly: row.1,
            systemIdentifier: row.6.map(UInt64.init(bitPattern:)),
            timeline: row.2.flatMap(UInt32.init(exactly:)),
            incarnation: row.5,
            position: row.3.flatMap(UInt64.init(exactly:)),
            replayAge: row.0 ? row.4.flatMap(Self.duration) : nil,
            address: Self.address(row.7, row.8),
            upstream: Self.address(row.9, row.10)
        )
    }

    /// As hosts are named.
    private static func address(_ host: String?, _ port: Int32?) -> String? {
        guard let host, !host.isEmpty, let port else { return nil }
        return HostEndpoint(host: host, port: Int(port)).description
    }

    /// Nil for what is no time at all: whatever the server says, it must not end this process.
    private static func duration(_ seconds: Double) -> Duration? {
        abs(seconds) < 1e9 ? .seconds(seconds) : nil
    }
}

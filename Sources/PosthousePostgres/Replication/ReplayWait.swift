// SPDX-License-Identifier: Apache-2.0

/// How a wait for a replica to catch up ended.
package enum ReplayWait: Hashable, Sendable {
    /// The replica has replayed the position: what was committed there is seen by the next statement.
    case reached
    /// It had not by the end of the time.
    case timedOut
    /// The server is no replica: it was promoted meanwhile, or never was one. Whether it has what was committed at the
    /// position is a question of timelines.
    case notInRecovery
}

/// How a session waits until its server has replayed a position.
enum ReplayStatement: Equatable {
    /// Asks again and again how far it is.
    case poll(SQL)
    /// Has the server wait, and answer with one word.
    case wait(String)

    /// The statement that a server understands.
    ///
    /// From version 19 on the server can wait by itself (`WAIT FOR LSN`, simple protocol, outside a transaction). That way
    /// follows the manual of a version that is not released; this house has not run it against a server.
    /// <https://www.postgresql.org/docs/19/sql-wait-for.html>
    ///
    /// - Parameters:
    ///   - serverVersion: 150018 for 15.18.
    ///   - lsn: What is to be replayed.
    ///   - time: The most to wait. Less than a millisecond counts as one: zero would be for ever.
    init(serverVersion: Int, lsn: UInt64, atMost time: Duration) {
        guard serverVersion >= 190_000 else {
            self = .poll(
                """
                SELECT recovering, CASE WHEN recovering THEN pg_last_wal_replay_lsn() - '0/0' END
                FROM (SELECT pg_is_in_recovery() AS recovering OFFSET 0) AS role
                """
            )
            return
        }
        let milliseconds = Int64(max(1, min(time, .seconds(86_400)) / .milliseconds(1)))
        self = .wait(
            "WAIT FOR LSN '\(LogPosition.text(ofLSN: lsn))' "
                + "WITH (MODE 'standby_replay', TIMEOUT '\(milliseconds)ms', NO_THROW)"
        )
    }
}

extension ReplayWait {
    /// Reads the one word of a server that waited by itself; nil for one that is not known.
    init?(status: String) {
        switch status {
        case "success": self = .reached
        case "timeout": self = .timedOut
        case "not in recovery": self = .notInRecovery
        default: return nil
        }
    }
}

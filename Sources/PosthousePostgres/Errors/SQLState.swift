// SPDX-License-Identifier: Apache-2.0

/// A five-character SQLSTATE, as PostgreSQL reports it with every error and notice.
///
/// The list of codes is appendix A of the PostgreSQL manual. Compare against the constants here or against a literal:
/// `error.sqlState == "23505"`.
public struct SQLState: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The five characters, for example `23505`.
    public let rawValue: String

    /// Wraps a code without checking it against the list of known ones.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// Wraps a literal code.
    public init(stringLiteral value: String) {
        self.init(rawValue: value)
    }

    /// The five characters.
    public var description: String { rawValue }

    /// The first two characters, which name the class of the condition: `23` is an integrity constraint violation.
    public var classCode: Substring { rawValue.prefix(2) }
}

extension SQLState {
    /// 08006: the connection failed.
    public static let connectionFailure: SQLState = "08006"
    /// 0A000: feature not supported; also "cached plan must not change result type".
    public static let featureNotSupported: SQLState = "0A000"
    /// 22001: a value is too long for its column.
    public static let stringDataRightTruncation: SQLState = "22001"
    /// 22P02: a text parameter is not a valid value of its type.
    public static let invalidTextRepresentation: SQLState = "22P02"
    /// 23502: a null in a column that refuses it.
    public static let notNullViolation: SQLState = "23502"
    /// 23503: a foreign key has no partner.
    public static let foreignKeyViolation: SQLState = "23503"
    /// 23505: a unique value exists already.
    public static let uniqueViolation: SQLState = "23505"
    /// 23514: a check constraint refused the row.
    public static let checkViolation: SQLState = "23514"
    /// 25001: the command cannot run inside a transaction.
    public static let activeSQLTransaction: SQLState = "25001"
    /// 25006: a write in a read-only transaction, or on a replica.
    public static let readOnlySQLTransaction: SQLState = "25006"
    /// 25P02: the transaction has failed and takes only ROLLBACK.
    public static let inFailedSQLTransaction: SQLState = "25P02"
    /// 26000: no prepared statement of that name.
    public static let invalidSQLStatementName: SQLState = "26000"
    /// 28000: the role may not log in this way.
    public static let invalidAuthorization: SQLState = "28000"
    /// 28P01: wrong password.
    public static let invalidPassword: SQLState = "28P01"
    /// 3D000: no database of that name.
    public static let invalidCatalogName: SQLState = "3D000"
    /// 40001: a serializable or repeatable-read transaction lost; run it again.
    public static let serializationFailure: SQLState = "40001"
    /// 40P01: a deadlock was broken by failing this transaction; run it again.
    public static let deadlockDetected: SQLState = "40P01"
    /// 42501: the role lacks the privilege.
    public static let insufficientPrivilege: SQLState = "42501"
    /// 42601: the SQL text does not parse.
    public static let syntaxError: SQLState = "42601"
    /// 42P01: no table of that name.
    public static let undefinedTable: SQLState = "42P01"
    /// 53300: the server has no free connection left.
    public static let tooManyConnections: SQLState = "53300"
    /// 55P03: a lock was not available at once.
    public static let lockNotAvailable: SQLState = "55P03"
    /// 57014: the statement was cancelled, by a cancel request or by `statement_timeout`.
    public static let queryCanceled: SQLState = "57014"
    /// 57P01: an administrator ended the session, or the server shuts down.
    public static let adminShutdown: SQLState = "57P01"
    /// 57P02: another server process crashed and took this session with it.
    public static let crashShutdown: SQLState = "57P02"
    /// 57P03: the server is starting up, shutting down or in recovery, and takes no connection now.
    public static let cannotConnectNow: SQLState = "57P03"
    /// 57P04: the database was dropped under the session.
    public static let databaseDropped: SQLState = "57P04"
    /// 57P05: the session was idle longer than `idle_session_timeout`.
    public static let idleSessionTimeout: SQLState = "57P05"
}

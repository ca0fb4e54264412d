// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Synchronization

/// A connection lent for a scope: the `db` in `cluster.write { db in }`.
///
/// Every statement first asks the permit that came with the loan. A handle that outlives its scope therefore throws
/// ``DatabaseError/Code/leaseExpired``, one to a fenced host ``DatabaseError/Code/fenced``, and nothing is sent.
public struct DatabaseSession: Sendable {
    let connection: DatabaseConnection
    let permit: SendPermit?
    /// How many transactions and savepoints are open around this handle.
    let depth: Int

    /// How long each statement may take; nil for no limit.
    public var timeout: Duration?

    /// When the whole scope ends, at the latest; nil for no limit.
    public var deadline: ContinuousClock.Instant? {
        get { moment?.instant }
        set { moment = newValue.map { Moment($0) } }
    }

    /// ``deadline``, in plain bytes.
    var moment: Moment?

    /// Lends a connection.
    ///
    /// - Parameters:
    ///   - connection: The connection.
    ///   - permit: Asked before every statement; nil always permits.
    ///   - timeout: How long each statement may take; nil (the default) for no limit.
    ///   - deadline: When the whole scope ends, at the latest; nil (the default) for no limit.
    public init(
        connection: DatabaseConnection,
        permit: SendPermit?,
        timeout: Duration? = nil,
        deadline: ContinuousClock.Instant? = nil
    ) {
        self.init(
            connection: connection,
            permit: permit,
            timeout: timeout,
            moment: deadline.map { Moment($0) },
            depth: 0
        )
    }

    init(
        connection: DatabaseConnection,
        permit: SendPermit?,
        timeout: Duration?,
        moment: Moment?,
        depth: Int
    ) {
        self.connection = connection
        self.permit = permit
        self.timeout = timeout
        self.moment = moment
        self.depth = depth
    }

    /// `host:port` of the server.
    public var host: String { connection.host }

    /// The server process, as the login said.
    public var backendPID: Int32 { connection.backendPID }

    /// Where the session is with respect to transactions, after the last answer.
    public var transactionStatus: TransactionStatus { connection.transactionStatus }

    /// How many exchanges of the session may have left something behind that lasts. The same number before and after a piece
    /// of work means that it left nothing: it ran in transactions that were not committed, or not at all.
    package var effects: UInt64 { connection.effects.load(ordering: .relaxed) }

    /// The server's last `in_hot_standby` report; nil if the server does not report it (before PostgreSQL 14).
    package var inHotStandby: Bool? { connection.inHotStandby }

    /// What the server last reported of a setting; nil if it does not report that one.
    ///
    /// - Throws: ``DatabaseError/Code/connectionBusy``, ``DatabaseError/Code/connectionClosed``.
    public func parameterStatus(_ name: String) throws(DatabaseError) -> String? {
        try connection.check(permit)
        return try connection.parameterStatus(name)
    }
}

extension DatabaseSession {
    /// Runs one statement and returns its rows.
    ///
    /// - Parameters:
    ///   - sql: One statement; its interpolated values are sent as parameters.
    ///   - timeout: How long it may take; nil (the default) means the session's timeout.
    public func query(_ sql: SQL, timeout: Duration? = nil) async throws(DatabaseError) -> Rows {
        try await connection.run(sql, permit: permit, deadline: statementDeadline(timeout))
    }

    /// Runs one statement that returns exactly one row.
    ///
    /// - Throws: ``DatabaseError/Code/unexpectedRowCount`` for none or several.
    public func queryOne(_ sql: SQL, timeout: Duration? = nil) async throws(DatabaseError) -> Row {
        try await query(sql, timeout: timeout).one()
    }

    /// Runs one statement that returns exactly one row of exactly one column, and returns that value.
    ///
    /// - Throws: ``DatabaseError/Code/unexpectedRowCount``, ``DatabaseError/Code/decodingFailed``.
    public func queryValue<Value: SQLDecodable>(
        _ sql: SQL,
        as type: Value.Type = Value.self,
        timeout: Duration? = nil
    ) async throws(DatabaseError) -> Value {
        try await queryOne(sql, timeout: timeout).decode(type)
    }

    /// Runs one statement and returns how many rows it changed or returned.
    @discardableResult
    public func execute(_ sql: SQL, timeout: Duration? = nil) async throws(DatabaseError) -> Int {
        try await query(sql, timeout: timeout).affectedRows
    }

    /// Runs statements separated by semicolons, without parameters, in one round trip, and returns a result for each.
    ///
    /// You vouch for the text. The server treats it as one transaction, unless it begins and ends its own. With a COMMIT in
    /// it, it is not cancelled once it is sent, as a COMMIT is not.
    @discardableResult
    public func executeScript(_ text: String, timeout: Duration? = nil) async throws(DatabaseError) -> [Rows] {
        try await connection.runScript(
            text,
            purpose: .script,
            permit: permit,
            deadline: statementDeadline(timeout)
        )
    }

    /// When a statement that starts now has to end.
    func statementDeadline(_ timeout: Duration?) -> Moment? {
        // A clock read costs more than the rest of this: only if somebody set a limit.
        guard let limit = timeout ?? self.timeout else { return moment }
        let own = Moment.now + limit
        return moment.map { min($0, own) } ?? own
    }
}

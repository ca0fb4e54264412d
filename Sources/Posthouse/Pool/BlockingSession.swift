// SPDX-License-Identifier: Apache-2.0

import PosthousePool
public import PosthousePostgres

/// A connection lent to synchronous code: each call blocks its thread until the server has answered.
///
/// For threads of your own. In a task every call throws ``PoolError/Code/insideTask``; use ``session`` there.
public struct BlockingSession: Sendable {
    /// The same connection, for asynchronous code.
    public let session: DatabaseSession

    init(_ session: DatabaseSession) {
        self.session = session
    }

    /// Runs one statement and returns its rows. See ``DatabaseSession/query(_:timeout:)``.
    public func query(_ sql: SQL, timeout: Duration? = nil) throws -> Rows {
        try run { try await $0.query(sql, timeout: timeout) }
    }

    /// Runs one statement that returns exactly one row of exactly one column, and returns that value.
    /// See ``DatabaseSession/queryValue(_:as:timeout:)``.
    public func queryValue<Value: SQLDecodable & Sendable>(
        _ sql: SQL,
        as type: Value.Type = Value.self,
        timeout: Duration? = nil
    ) throws -> Value {
        try query(sql, timeout: timeout).one().decode(type)
    }

    /// Runs one statement and returns how many rows it changed or returned. See ``DatabaseSession/execute(_:timeout:)``.
    @discardableResult
    public func execute(_ sql: SQL, timeout: Duration? = nil) throws -> Int {
        try query(sql, timeout: timeout).affectedRows
    }

    /// Runs asynchronous code with the connection, on the default executor, and blocks the thread until it has ended: for
    /// transactions, for example.
    public func run<Result: Sendable>(
        _ body: @escaping @Sendable (DatabaseSession) async throws -> Result
    ) throws -> Result {
        try BlockingCall.wait { [session] in try await body(session) }
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import PosthousePostgres

extension DatabasePool {
    /// Runs `body` in a transaction and commits it; runs it again, in a new transaction on a connection of its own, if it was
    /// lost in a conflict, or with its connection before COMMIT was sent.
    ///
    /// What is run again and what is not is told at ``Cluster/withTransaction(retrying:isolation:readOnly:deferrable:onReplica:fileID:line:_:)``.
    /// A server that cannot be reached for a while is tried again too.
    ///
    /// - Parameters:
    ///   - limits: How often and how long it is tried. Default: 16 times within 30 s.
    ///   - isolation: nil (the default) leaves it to the server's `default_transaction_isolation`.
    ///   - readOnly: nil (the default) leaves it to the server's `default_transaction_read_only`.
    ///   - deferrable: Has a serializable read-only transaction wait for a moment at which it cannot fail. False by default.
    ///   - body: What to do; uses the handle that it is given and no other.
    /// - Returns: What `body` returned.
    /// - Throws: ``PoolError`` if no connection could be had; ``RetryError`` if it failed more than once and was given up; all
    ///   else, what `body` throws among it, as it is.
    @discardableResult
    public func withTransaction<Value>(
        retrying limits: RetryLimits = RetryLimits(),
        isolation: TransactionIsolation? = nil,
        readOnly: Bool? = nil,
        deferrable: Bool = false,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (DatabaseSession) async throws -> Value
    ) async throws -> Value {
        let kind = TransactionKind(isolation: isolation, readOnly: readOnly, deferrable: deferrable)
        let rule = RetryRule(isRead: false, refusesWrites: readOnly == true)
        return try await RetryLoop(limits: limits).run { _, end in
            try await self.withConnection(deadline: end, fileID: fileID, line: line) { db in
                await rule.run(on: db, wasStandby: db.inHotStandby == true, until: end, in: kind, body)
            }
        }
    }
}

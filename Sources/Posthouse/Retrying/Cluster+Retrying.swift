// SPDX-License-Identifier: Apache-2.0

public import PosthouseCluster
public import PosthousePostgres

extension Cluster where Driver == LibPQDriver {
    // MARK: - Single statements

    /// Runs one statement on a replica and returns its rows; a replica that is lost meanwhile is replaced by another one.
    ///
    /// The statement may be run more than once: use it to read. By default it has 30 s, all told: give a report that takes
    /// longer a longer ``RetryLimits/timeout``.
    ///
    /// - Parameters:
    ///   - sql: One statement; its interpolated values are sent as parameters.
    ///   - fallbackPrimary: Whether the primary serves while no replica is there. Default: the configuration's. A statement
    ///     that may have run there is not run again.
    ///   - limits: How often and how long it is tried.
    /// - Throws: ``ClusterError`` if no connection could be had, ``DatabaseError``, ``RetryError``.
    public func query(
        _ sql: SQL,
        fallbackPrimary: Bool? = nil,
        retrying limits: RetryLimits = RetryLimits(),
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws -> Rows {
        try await read(retrying: limits, fallbackPrimary: fallbackPrimary, fileID: fileID, line: line) { db in
            try await db.query(sql)
        }
    }

    /// Runs one statement on the primary and returns how many rows it changed or returned.
    ///
    /// It is tried again only if it certainly had no effect: it was not sent, the server took it for a write and takes none
    /// (25006 on a server that is no primary any more), ended the session before it was done, or let it fail in a conflict
    /// (40001, 40P01).
    ///
    /// - Parameters:
    ///   - sql: One statement; its interpolated values are sent as parameters.
    ///   - limits: How often and how long it is tried.
    /// - Throws: ``ClusterError`` if no connection could be had; ``DatabaseError``, with the outcome
    ///   ``DatabaseError/Outcome/mayHaveRun`` if the answer was lost; ``RetryError``.
    @discardableResult
    public func execute(
        _ sql: SQL,
        retrying limits: RetryLimits = RetryLimits(),
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws -> Int {
        try await write(retrying: limits, fileID: fileID, line: line) { db in try await db.execute(sql) }
    }

    // MARK: - Scopes

    /// Runs `body` with a connection to the primary, and again with another one if nothing of it has lasted.
    ///
    /// ``Cluster/write(timeout:fileID:line:_:)`` runs its scope once. This one runs it again if the connection was lost or
    /// fenced, if the server is no primary any more (25006) or after a conflict (40001, 40P01), as long as all that was sent
    /// is undone: nothing but a transaction that was not committed, or nothing at all. What `body` does outside the database
    /// it does again: with `retrying` you say that this is no harm.
    ///
    /// - Parameters:
    ///   - limits: How often and how long it is tried. Each statement of the scope ends by the end of that time.
    ///   - body: What to do on the primary.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError`` if no connection could be had; ``RetryError`` if it failed more than once; else what `body`
    ///   throws.
    @discardableResult
    public func write<Value>(
        retrying limits: RetryLimits,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (DatabaseSession) async throws -> Value
    ) async throws -> Value {
        let rule = RetryRule(isRead: false)
        return try await RetryLoop(limits: limits).run { left, end in
            try await self.write(timeout: left, fileID: fileID, line: line) { db in
                await rule.run(on: db, wasStandby: self.isStandby(db), until: end, body)
            }
        }
    }

    /// Runs `body` with a connection to a replica, and again with another one if the replica is lost.
    ///
    /// ``Cluster/read(fallbackPrimary:timeout:fileID:line:_:)`` runs its scope once. What `body` does outside the database it
    /// does again: with `retrying` you say that this is no harm. On the primary, as a fallback, it is run again only if all
    /// that was sent is undone, as by ``write(retrying:fileID:line:_:)``.
    ///
    /// - Parameters:
    ///   - limits: How often and how long it is tried. Each statement of the scope ends by the end of that time.
    ///   - fallbackPrimary: Whether the primary serves while no replica is there. Default: the configuration's.
    ///   - body: What to read.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError`` if no connection could be had; ``RetryError`` if it failed more than once; else what `body`
    ///   throws.
    @discardableResult
    public func read<Value>(
        retrying limits: RetryLimits,
        fallbackPrimary: Bool? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (DatabaseSession) async throws -> Value
    ) async throws -> Value {
        let rule = RetryRule(isRead: true)
        return try await RetryLoop(limits: limits).run { left, end in
            try await self.read(fallbackPrimary: fallbackPrimary, timeout: left, fileID: fileID, line: line) { db in
                await rule.run(on: db, wasStandby: self.isStandby(db), until: end, body)
            }
        }
    }

    /// Runs `body` in a transaction and commits it; runs it again, in a new transaction on a connection of its own, if it was
    /// lost in a conflict or in a failover before COMMIT was sent.
    ///
    /// Run again: serialization failures (40001, also the COMMIT's own) and deadlocks (40P01); a connection that was lost or
    /// fenced, a session that the server ended (57P01, 57P02), a write that was refused because the server is no primary any
    /// more (25006), all of these before COMMIT was sent. Never run again: a transaction whose COMMIT was sent and not
    /// answered. It throws the outcome ``DatabaseError/Outcome/commitOutcomeUnknown``, and only the caller can find out, by a
    /// row of the transaction for example. Nor one in which `body` has committed something by a COMMIT of its own. The COMMIT
    /// is never cancelled.
    ///
    /// What `body` does outside the transaction it does again at each run: send no mail from it. An error of its own that
    /// hides a ``DatabaseError`` is not recognised as a reason to run it again.
    ///
    /// - Parameters:
    ///   - limits: How often and how long it is tried. Default: 16 times within 30 s.
    ///   - isolation: nil (the default) leaves it to the server's `default_transaction_isolation`.
    ///   - readOnly: nil (the default) leaves it to the server's `default_transaction_read_only`.
    ///   - deferrable: Has a serializable read-only transaction wait for a moment at which it cannot fail. False by default.
    ///   - onReplica: Whether it runs on a replica, or on the primary if there is none and the configuration says so. Only
    ///     with `readOnly: true`. Default: false, on the primary.
    ///   - body: What to do; uses the handle that it is given and no other.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError`` if no connection could be had; ``RetryError`` if it failed more than once and was given up;
    ///   all else, what `body` throws among it, as it is.
    @discardableResult
    public func withTransaction<Value>(
        retrying limits: RetryLimits = RetryLimits(),
        isolation: TransactionIsolation? = nil,
        readOnly: Bool? = nil,
        deferrable: Bool = false,
        onReplica: Bool = false,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (DatabaseSession) async throws -> Value
    ) async throws -> Value {
        if onReplica, readOnly != true {
            throw ClusterError(.invalidArgument, message: "a transaction on a replica is read-only: say readOnly: true")
        }
        let kind = TransactionKind(isolation: isolation, readOnly: readOnly, deferrable: deferrable)
        let rule = RetryRule(isRead: onReplica, refusesWrites: readOnly == true)
        return try await RetryLoop(limits: limits).run { left, end in
            if onReplica {
                return try await self.read(timeout: left, fileID: fileID, line: line) { db in
                    await rule.run(on: db, wasStandby: self.isStandby(db), until: end, in: kind, body)
                }
            }
            return try await self.write(timeout: left, fileID: fileID, line: line) { db in
                await rule.run(on: db, wasStandby: self.isStandby(db), until: end, in: kind, body)
            }
        }
    }

    /// What the server says of itself; where it does not (before PostgreSQL 14), what its monitor says.
    private func isStandby(_ session: DatabaseSession) -> Bool {
        session.inHotStandby ?? snapshot().hosts.contains { $0.host == session.host && $0.role == .replica }
    }
}

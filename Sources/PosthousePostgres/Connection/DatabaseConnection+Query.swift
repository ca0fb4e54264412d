// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import PosthouseBase
import PosthouseReactor

extension DatabaseConnection {
    /// Runs one statement and returns its rows.
    ///
    /// - Parameters:
    ///   - sql: One statement; its interpolated values are sent as parameters.
    ///   - deadline: When to give up; nil (the default) waits for ever.
    /// - Throws: ``DatabaseError``. After a deadline, a cancellation or a loss the connection is broken.
    public func query(
        _ sql: SQL,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(DatabaseError) -> Rows {
        try await run(sql, permit: nil, deadline: deadline.map { Moment($0) })
    }

    /// Runs one statement and returns how many rows it changed or returned.
    ///
    /// - Parameters:
    ///   - sql: One statement; its interpolated values are sent as parameters.
    ///   - deadline: When to give up; nil (the default) waits for ever.
    /// - Throws: ``DatabaseError``. After a deadline, a cancellation or a loss the connection is broken.
    @discardableResult
    public func execute(
        _ sql: SQL,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(DatabaseError) -> Int {
        try await run(sql, permit: nil, deadline: deadline.map { Moment($0) }).affectedRows
    }

    /// Runs statements separated by semicolons, without parameters, in one round trip.
    ///
    /// The server treats them as one transaction, unless the text begins and ends its own. With a COMMIT in it, it is not
    /// cancelled once it is sent, as a COMMIT is not.
    ///
    /// - Parameters:
    ///   - text: The statements. You vouch for them: nothing is escaped.
    ///   - deadline: When to give up; nil (the default) waits for ever.
    /// - Returns: One result for each statement.
    /// - Throws: ``DatabaseError``: that of the first statement that failed; those after it did not run.
    @discardableResult
    public func executeScript(
        _ text: String,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(DatabaseError) -> [Rows] {
        try await runScript(text, purpose: .script, permit: nil, deadline: deadline.map { Moment($0) })
    }
}

extension DatabaseConnection {
    /// Runs one statement by the extended protocol.
    func run(
        _ sql: SQL,
        permit: SendPermit?,
        deadline: Moment?
    ) async throws(DatabaseError) -> Rows {
        // Before the claim too: the connection may be in other hands.
        try check(permit)
        try claim(toUse: true)
        defer { release() }
        try prepareToSend(sql, purpose: .ordinary, deadline: deadline)
        var mayRetry = true
        while true {
            var exchange = try send(sql, permit: permit)
            try await finish(&exchange, sql: sql, purpose: .ordinary, deadline: deadline)
            if let failure = failure(of: exchange, sql: sql, purpose: .ordinary) {
                // Somebody dropped such a statement already, and the others of the list stay: that harms nobody.
                if case .deallocation = exchange.command, !state.isUnusable { continue }
                // Nothing ran, and no transaction was lost with it: prepare the statement anew.
                guard mayRetry, forgetIfStale(exchange, sql, failure), pq.transactionStatus == PQTRANS_IDLE else {
                    throw failure
                }
                mayRetry = false
                continue
            }
            switch exchange.command {
            case .preparation(let name): statements.markPrepared(sql.text, as: name)
            case .deallocation: break
            case .statement, .script:
                afterwards(exchange, .ordinary)
                return try answer(exchange, to: sql)
            }
        }
    }

    /// Runs any number of statements by the simple protocol.
    ///
    /// - Parameter isUse: Whether they may leave something in the session.
    func runScript(
        _ text: String,
        purpose: Purpose,
        permit: SendPermit?,
        deadline: Moment?,
        isUse: Bool = true
    ) async throws(DatabaseError) -> [Rows] {
        let sql = SQL(raw: text)
        try check(permit)
        try claim(toUse: isUse)
        defer { release() }
        try prepareToSend(sql, purpose: purpose, deadline: deadline)
        try checkText(text)
        try check(permit)
        var exchange = Exchange(.script)
        if !pq.sendQuery(text) { throw refusedSend() }
        try await finish(&exchange, sql: sql, purpose: purpose, deadline: deadline)
        if let failure = failure(of: exchange, sql: sql, purpose: purpose) { throw failure }
        afterwards(exchange, purpose)
        // Behind the first one a COMMIT cannot find a failed transaction: the server would not have got that far.
        if exchange.results.first?.isRollback == true, sql.isCommit { throw commitRolledBack() }
        return exchange.results.map { Rows(result: $0) }
    }

    /// What has to be true before anything is sent.
    @inline(__always)
    private func prepareToSend(
        _ sql: SQL,
        purpose: Purpose,
        deadline: Moment?
    ) throws(DatabaseError) {
        // A script that has a COMMIT further down has not begun its work either.
        if Task.isCancelled, purpose.isCancellable, !sql.isCommit {
            throw error(.cancelled, "The task was cancelled.", phase: .sending, outcome: .notSent)
        }
        // Sending now would cost the connection and leave doubt, for nothing.
        if let deadline, deadline <= .now {
            throw error(
                .timedOut,
                "The deadline had passed before the statement was sent to \(host).",
                phase: .sending,
                outcome: .notSent
            )
        }
        // What arrived since the last answer may be the end: better known before a statement is at stake.
        if registration.hasPendingEvent, let lost = readIdleInput() {
            report(lost)
            throw lost
        }
    }

    /// Sends a statement, or what has to come before it.
    @inline(__always)
    private func send(_ sql: SQL, permit: SendPermit?) throws(DatabaseError) -> Exchange {
        guard sql.parameters.count <= 65535 else {
            throw error(
                .invalidStatement,
                "The statement has \(sql.parameters.count) parameters; PostgreSQL takes 65535. Send an array instead.",
                phase: .sending,
                outcome: .notSent
            )
        }
        try check(permit)
        switch statements.plan(for: sql.text) {
        case .prepared(let name):
            try fillParameters(sql)
            guard pq.sendQueryPrepared(name: name, parameters: parameterBuffer) else { throw refusedSend() }
            return Exchange(.statement(name: name))
        case .prepare(let name):
            if statements.retired.count >= Self.retiredStatementsAtOnce, pq.transactionStatus == PQTRANS_IDLE {
                let list = statements.takeRetired().map { "DEALLOCATE \($0)" }.joined(separator: ";")
                guard pq.sendQuery(list) else { throw refusedSend() }
                return Exchange(.deallocation)
            }
            try checkText(sql.text)
            guard pq.sendPrepare(name: name, sql.text) else { throw refusedSend() }
            return Exchange(.preparation(name: name))
        case .unnamed:
            try checkText(sql.text)
            try fillParameters(sql)
            guard pq.sendQuery(sql.text, parameters: parameterBuffer) else { throw refusedSend() }
            return Exchange(.statement(name: nil))
        }
    }

    /// Enough that dropping them costs little per statement, few enough not to burden the server.
    private static let retiredStatementsAtOnce = 16

    @inline(__always)
    func check(_ permit: SendPermit?) throws(DatabaseError) {
        do throws(SendRefusal) {
            try permit?.check()
        } catch {
            throw self.error(error.code, error.message, phase: .sending, outcome: .notSent)
        }
    }

    private func checkText(_ text: String) throws(DatabaseError) {
        guard text.containsNUL else { return }
        throw error(
            .invalidStatement,
            "The statement contains a NUL character, which PostgreSQL does not take.",
            phase: .sending,
            outcome: .notSent
        )
    }

    private func fillParameters(_ sql: SQL) throws(DatabaseError) {
        guard let index = parameterBuffer.fill(sql.parameters) else { return }
        throw error(
            .invalidStatement,
            "Parameter $\(index + 1) contains a NUL character, which PostgreSQL cannot store in text. Use bytea for bytes.",
            phase: .sending,
            outcome: .notSent
        )
    }

    /// libpq did not take the command: the connection is dead, or memory ran out.
    private func refusedSend() -> DatabaseError {
        breakOff()
        let error = lostConnection(phase: .sending, outcome: .notSent)
        report(error)
        return error
    }

    /// True if a prepared statement failed because the server forgot it, or because a table changed under it; it is
    /// forgotten then.
    private func forgetIfStale(_ exchange: Exchange, _ sql: SQL, _ failure: DatabaseError) -> Bool {
        guard case .statement(let name?) = exchange.command else { return false }
        // 0A000 has many causes; the routine tells which, in every language.
        let isOutdated =
            failure.sqlState == .featureNotSupported && failure.diagnostics?.routine == "RevalidateCachedQuery"
        // A function may say the same of a statement of its own, and then a part has run.
        let isUnknown =
            failure.sqlState == .invalidSQLStatementName && failure.diagnostics?.context == nil
            && failure.message.contains("\"\(name)\"")
        guard isOutdated || isUnknown else { return false }
        statements.forget(sql.text, isKnownToServer: isOutdated)
        return true
    }

    /// After a good answer: what it says about the session.
    @inline(__always)
    private func afterwards(_ exchange: Exchange, _ purpose: Purpose) {
        countAnswer()
        pq.dropNotifications()
        noteStandby()
        noteEffects(of: exchange, purpose)
        parameterBuffer.trim()
        if let result = exchange.result {
            if result.columnCount == 0, result.dropsPreparedStatements { statements.forgetAll() }
        } else if exchange.results.contains(where: { $0.dropsPreparedStatements }) {
            statements.forgetAll()
        }
    }

    @inline(__always)
    private func answer(_ exchange: Exchange, to sql: SQL) throws(DatabaseError) -> Rows {
        guard let result = exchange.result else {
            breakOff()
            throw error(
                .protocolViolation,
                "\(host) answered a statement with nothing.",
                phase: .waiting,
                outcome: .mayHaveRun
            )
        }
        if result.columnCount == 0, result.isRollback, sql.isCommit { throw commitRolledBack() }
        return Rows(result: result)
    }

    /// The server takes a COMMIT in a failed transaction for a ROLLBACK, and reports success.
    func commitRolledBack() -> DatabaseError {
        error(
            .commitRolledBack,
            "The transaction was rolled back: a statement in it had failed, so COMMIT could not commit.",
            phase: .waiting,
            outcome: .failed
        )
    }
}

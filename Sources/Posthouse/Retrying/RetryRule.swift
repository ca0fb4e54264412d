// SPDX-License-Identifier: Apache-2.0

import PosthousePostgres

/// What became of one run.
enum Attempt<Value> {
    case succeeded(Value)
    /// - Parameter isSafe: Whether nothing of it has lasted, and running it again makes sense.
    case failed(any Error, isSafe: Bool)
}

/// How a transaction is begun.
struct TransactionKind {
    var isolation: TransactionIsolation?
    var readOnly: Bool?
    var deferrable: Bool
}

/// Decides whether work that failed on a connection may be run again on another one.
///
/// It may if the server's side of it is certainly undone, which the session knows (it counts what could last), and if the
/// reason lies with the connection, the server's role or a conflict with others, so that another run may go well.
struct RetryRule {
    /// The work only reads, as far as its caller says. What a standby was reading when it was lost is read again.
    var isRead: Bool
    /// The caller wants a transaction in which writes fail: then that they do is no reason to look for another server.
    var refusesWrites = false

    /// Runs work once.
    ///
    /// - Parameters:
    ///   - session: What it is run on.
    ///   - wasStandby: Whether the server is a standby, as far as is known.
    ///   - end: When its statements end, at the latest.
    ///   - body: The work.
    func run<Value>(
        on session: DatabaseSession,
        wasStandby: Bool,
        until end: ContinuousClock.Instant?,
        _ body: (DatabaseSession) async throws -> Value
    ) async -> Attempt<Value> {
        var session = session
        if let end { session.deadline = session.deadline.map { min($0, end) } ?? end }
        let effects = session.effects
        do {
            return .succeeded(try await body(session))
        } catch {
            let isUndone = session.effects == effects || isRead && wasStandby
            guard isUndone, let failure = error as? DatabaseError else { return .failed(error, isSafe: false) }
            return .failed(error, isSafe: await mayGoWellElsewhere(failure, on: session, wasStandby: wasStandby))
        }
    }

    /// Runs work once, in a transaction.
    func run<Value>(
        on session: DatabaseSession,
        wasStandby: Bool,
        until end: ContinuousClock.Instant?,
        in kind: TransactionKind,
        _ body: (DatabaseSession) async throws -> Value
    ) async -> Attempt<Value> {
        await run(on: session, wasStandby: wasStandby, until: end) { db in
            try await db.withTransaction(
                isolation: kind.isolation,
                readOnly: kind.readOnly,
                deferrable: kind.deferrable,
                body
            )
        }
    }

    private func mayGoWellElsewhere(
        _ error: DatabaseError,
        on session: DatabaseSession,
        wasStandby: Bool
    ) async -> Bool {
        if error.isTransactionConflict || error.isLossOfServer { return true }
        guard error.sqlState == .readOnlySQLTransaction, error.outcome == .failed else { return false }
        guard !isRead, !refusesWrites else { return false }
        guard session.transactionStatus == .idle else { return session.inHotStandby == true }
        if await Self.serverRefusesWrites(session) { return true }
        // A transaction that began on a standby refuses writes to its end, though the server is promoted meanwhile. One that
        // still says it is a standby speaks through a pooler, which does not hear of the promotion.
        return wasStandby && session.inHotStandby == false
    }

    /// Whether it is the server that takes no writes, or a `BEGIN READ ONLY` of the work's own, which does not go away.
    private static func serverRefusesWrites(_ session: DatabaseSession) async -> Bool {
        do throws(DatabaseError) {
            return try await session.queryValue(
                """
                SELECT pg_is_in_recovery()
                       OR EXISTS (SELECT FROM pg_settings
                                  WHERE name = 'default_transaction_read_only' AND reset_val = 'on')
                """,
                timeout: .seconds(1)
            )
        } catch {
            return error.isLossOfServer
        }
    }
}

extension DatabaseError {
    /// The connection went away, or must not be used any more, for a reason that is not the work's own: another connection
    /// may do.
    var isLossOfServer: Bool {
        switch code {
        // 25P03: the work itself took too long between two statements, and would again.
        case .connectionLost, .connectionClosed: sqlState != "25P03"
        case .fenced: true
        case .server:
            sqlState == .adminShutdown || sqlState == .crashShutdown || sqlState == .idleSessionTimeout
                || sqlState?.classCode == "08"
        default: false
        }
    }
}

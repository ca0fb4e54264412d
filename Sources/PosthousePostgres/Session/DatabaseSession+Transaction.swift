// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Synchronization

/// How far a transaction is shielded from others that run at the same time.
///
/// PostgreSQL treats READ UNCOMMITTED as READ COMMITTED, so it is not here.
public enum TransactionIsolation: String, Hashable, Sendable {
    /// Each statement sees what was committed before it began. PostgreSQL's default.
    case readCommitted = "READ COMMITTED"
    /// All statements see what was committed before the first one; a conflict fails with SQLSTATE 40001.
    case repeatableRead = "REPEATABLE READ"
    /// As if transactions ran one after another; a conflict fails with SQLSTATE 40001.
    case serializable = "SERIALIZABLE"
}

extension DatabaseSession {
    /// Runs a scope in a transaction: commits when it returns, rolls back when it throws.
    ///
    /// Inside a transaction a savepoint is used instead: what fails inside is undone, and the outer transaction goes on.
    /// Use the handle that the scope is given; it ends with the scope.
    ///
    /// Cancelling the task ends the statements of the scope, but never the COMMIT. If the answer to it is lost, the error has
    /// the outcome ``DatabaseError/Outcome/commitOutcomeUnknown``.
    ///
    /// - Parameters:
    ///   - isolation: nil (the default) leaves it to the server's `default_transaction_isolation`.
    ///   - readOnly: nil (the default) leaves it to the server's `default_transaction_read_only`.
    ///   - deferrable: Has a serializable read-only transaction wait for a moment at which it cannot fail. False by default.
    ///   - body: The scope. The error it throws reaches the caller; one of the rollback does not.
    /// - Throws: what the scope throws; ``DatabaseError`` if the transaction cannot be begun or committed, with
    ///   ``DatabaseError/Code/commitRolledBack`` if a statement had failed and the scope returned nevertheless.
    @discardableResult
    public func withTransaction<Result>(
        isolation: TransactionIsolation? = nil,
        readOnly: Bool? = nil,
        deferrable: Bool = false,
        _ body: (DatabaseSession) async throws -> Result
    ) async throws -> Result {
        let isNested = [.inTransaction, .inFailedTransaction].contains(connection.transactionStatus)
        if isNested, isolation != nil || readOnly != nil || deferrable {
            throw DatabaseError(
                code: .invalidStatement,
                message:
                    "Isolation, read-only and deferrable belong to the outermost transaction; this one is a savepoint.",
                host: host,
                phase: .sending,
                outcome: .notSent
            )
        }
        let frame =
            isNested
            ? TransactionFrame.savepoint(depth: depth)
            : TransactionFrame.transaction(isolation: isolation, readOnly: readOnly, deferrable: deferrable)
        try await run(frame.begin, purpose: .begin, deadline: statementDeadline(nil))
        let inner = TransactionScope(outer: permit)
        let result: Result
        do {
            defer { inner.end() }
            result = try await body(
                DatabaseSession(
                    connection: connection,
                    permit: SendPermit(inner),
                    timeout: timeout,
                    moment: moment,
                    depth: depth + 1
                )
            )
        } catch {
            await undo(frame)
            throw error
        }
        try await complete(frame, isNested: isNested)
        return result
    }

    private func complete(_ frame: TransactionFrame, isNested: Bool) async throws(DatabaseError) {
        guard connection.transactionStatus != .idle else {
            throw DatabaseError(
                code: .transactionEnded,
                message: "The transaction was ended inside its scope, by a COMMIT or ROLLBACK statement of its own.",
                host: host,
                phase: .sending,
                outcome: .notSent
            )
        }
        do {
            let purpose = isNested ? Purpose.cleanUp : .commit
            try await run(frame.complete, purpose: purpose, deadline: statementDeadline(nil))
        } catch {
            // RELEASE fails in a failed transaction, and the outer one can go on from the savepoint; a COMMIT that was not
            // sent leaves a transaction behind.
            await undo(frame)
            throw error
        }
    }

    /// Takes back what the scope did, as far as the connection lets us. If it does not, the connection is in no state to be
    /// used again, and the server takes it back when the connection ends.
    private func undo(_ frame: TransactionFrame) async {
        guard [.inTransaction, .inFailedTransaction].contains(connection.transactionStatus) else { return }
        let deadline = Moment.now + Self.undoTimeout
        _ = try? await connection.runScript(frame.undo, purpose: .cleanUp, permit: permit, deadline: deadline)
    }

    /// A rollback is quick; a server that does not manage one in this time is not worth waiting for.
    private static let undoTimeout = Duration.seconds(5)

    private func run(
        _ text: String,
        purpose: Purpose,
        deadline: Moment?
    ) async throws(DatabaseError) {
        _ = try await connection.runScript(text, purpose: purpose, permit: permit, deadline: deadline)
    }
}

/// The statements around a scope.
struct TransactionFrame: Equatable {
    let begin: String
    let complete: String
    let undo: String

    static func transaction(isolation: TransactionIsolation?, readOnly: Bool?, deferrable: Bool) -> TransactionFrame {
        var begin = "BEGIN"
        if let isolation { begin += " ISOLATION LEVEL \(isolation.rawValue)" }
        if let readOnly { begin += readOnly ? " READ ONLY" : " READ WRITE" }
        if deferrable { begin += " DEFERRABLE" }
        return TransactionFrame(begin: begin, complete: "COMMIT", undo: "ROLLBACK")
    }

    static func savepoint(depth: Int) -> TransactionFrame {
        let name = "posthouse_\(depth)"
        return TransactionFrame(
            begin: "SAVEPOINT \(name)",
            complete: "RELEASE \(name)",
            undo: "ROLLBACK TO \(name); RELEASE \(name)"
        )
    }
}

/// Permits statements while the scope of a transaction lasts, and while the permit around it does.
private final class TransactionScope: SendPermitIssuer {
    private let outer: SendPermit?
    private let hasEnded = Atomic<Bool>(false)

    init(outer: SendPermit?) {
        self.outer = outer
    }

    func check(_ stamp: SendPermit.Stamp) throws(SendRefusal) {
        if hasEnded.load(ordering: .acquiring) {
            throw SendRefusal(
                code: .transactionEnded,
                message: "The transaction of this handle is over. Use the handle of the scope around it."
            )
        }
        try outer?.check()
    }

    func end() {
        hasEnded.store(true, ordering: .releasing)
    }
}

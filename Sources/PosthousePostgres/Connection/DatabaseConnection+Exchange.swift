// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import PosthouseBase
import PosthouseReactor

/// What an exchange is for: decides how it ends when it is disturbed.
enum Purpose {
    /// Broken off when its task is cancelled.
    case ordinary
    /// COMMIT: never broken off by cancellation, and if its answer is lost nobody knows whether it happened.
    case commit
    /// ROLLBACK and the like: not broken off by cancellation, because what was cancelled is being cleaned up.
    case cleanUp
}

extension DatabaseConnection {
    /// Waits for the end of what was sent; throws if it ended without an answer.
    ///
    /// One suspension in the common case: all was flushed by the send, and the answer comes in one piece.
    @inline(__always)
    func finish(
        _ exchange: inout Exchange,
        sql: SQL,
        purpose: Purpose,
        deadline: Moment?
    ) async throws(DatabaseError) {
        var hasWoken = false
        while let interest = advance(&exchange, hasWoken: hasWoken) {
            if exchange.isPausing {
                exchange.isPausing = false
                let purpose = resolve(purpose, sql)
                if let reason = disturbance(purpose, deadline) { throw brokenOff(exchange, by: reason, purpose) }
                await Task.yield()
                continue
            }
            do throws(SocketWaitError) {
                try await registration.wait(for: interest, deadline: deadline)
            } catch {
                let purpose = resolve(purpose, sql)
                guard error == .cancelled, purpose != .ordinary else { throw brokenOff(exchange, by: error, purpose) }
                if let error = await waitShielded(for: interest, until: deadline) {
                    throw brokenOff(exchange, by: error, purpose)
                }
            }
            hasWoken = true
        }
    }

    /// Does all that can be done without waiting.
    ///
    /// - Parameter hasWoken: the socket was reported ready.
    /// - Returns: what to wait for; nil if the exchange is over.
    private func advance(_ exchange: inout Exchange, hasWoken: Bool) -> Readiness? {
        if hasWoken { exchange.isTransportDead = !pq.consumeInput() }
        var reads = 0
        while true {
            // Reading goes on while we flush: the server may not read our rest before we have read what it has to say.
            if exchange.isFlushing { exchange.isFlushing = pq.flush() == 1 && !exchange.isTransportDead }
            // libpq closes the socket of a dead connection, and then hands out what it had read before, without blocking.
            while pq.socket < 0 || !pq.isBusy {
                guard let result = pq.takeResult() else { return nil }
                exchange.collect(result, host: host)
                if exchange.isCopying { return nil }
            }
            if exchange.isTransportDead { return nil }
            // Readiness is reported on edges, and libpq does not promise to have read all: look before waiting for an edge
            // that may have passed. (Nothing was read before the first wait, so there is no edge to have missed.)
            guard hasWoken, mayHoldInput(&exchange) else { return exchange.isFlushing ? [.read, .write] : .read }
            reads += 1
            exchange.isPausing = reads >= Self.readsAtOnce
            if exchange.isPausing { return .read }
        }
    }

    /// Some hundred kilobytes: a server may send faster than we read, for as long as its answer is.
    private static let readsAtOnce = 64

    /// What would have ended a wait, if there had been one.
    private func disturbance(_ purpose: Purpose, _ deadline: Moment?) -> SocketWaitError? {
        if state.isInterrupted { return .interrupted }
        if purpose == .ordinary, Task.isCancelled { return .cancelled }
        if let deadline, deadline <= .now { return .timedOut }
        return nil
    }

    /// Reads on if something is left to read.
    ///
    /// - Returns: false if all was read: an edge will come.
    private func mayHoldInput(_ exchange: inout Exchange) -> Bool {
        if kernelHoldsInput {
            exchange.isTransportDead = !pq.consumeInput()
            return true
        }
        guard isEncrypted else { return false }
        // The rest of a TLS record may be inside OpenSSL. With nothing in the kernel, one more call fetches all of it: libpq
        // makes room for 8 KiB before each read, and a record holds 16 KiB of which the read before took as much.
        exchange.isTransportDead = !pq.consumeInput()
        return !pq.isBusy || exchange.isTransportDead
    }

    /// Waits on, though the task is cancelled: cancellation does not reach a task of its own.
    private func waitShielded(
        for interest: Readiness,
        until deadline: Moment?
    ) async -> SocketWaitError? {
        await Task { [registration] () -> SocketWaitError? in
            do throws(SocketWaitError) {
                try await registration.wait(for: interest, deadline: deadline)
                return nil
            } catch {
                return error
            }
        }.value
    }

    /// A statement that the user wrote may be a COMMIT too. Looked at when it matters, not when it is sent.
    func resolve(_ purpose: Purpose, _ sql: SQL) -> Purpose {
        purpose == .ordinary && sql.isCommit ? .commit : purpose
    }

    private func brokenOff(_ exchange: Exchange, by reason: SocketWaitError, _ purpose: Purpose) -> DatabaseError {
        breakOff()
        // Exact: nothing was given to libpq since it last said what it holds.
        let phase: DatabaseError.Phase = exchange.isFlushing ? .sending : .waiting
        return brokenOff(by: reason, phase: phase, outcome: exchange.outcomeIfUnanswered(purpose))
    }
}

extension DatabaseConnection {
    /// The failure that an exchange which is over ended with, if it did. Breaks the connection off if it is not usable any
    /// more, and reports what it is evidence of.
    func failure(of exchange: Exchange, sql: SQL, purpose: Purpose) -> DatabaseError? {
        guard exchange.failure != nil || exchange.isTransportDead || exchange.isCopying else { return nil }
        var error = describe(exchange, purpose: resolve(purpose, sql))
        if error.outcome == .failed, mayHaveCommitted(exchange, sql) { error.outcome = .mayHaveRun }
        report(error)
        return error
    }

    /// Whether a part of what failed may be there to stay: a script that has committed, or a procedure that could.
    private func mayHaveCommitted(_ exchange: Exchange, _ sql: SQL) -> Bool {
        if exchange.results.contains(where: \.isCommit) { return true }
        // Within a transaction a procedure cannot commit.
        guard pq.transactionStatus != PQTRANS_INERROR else { return false }
        return ["CALL", "DO"].contains(sql.leadingWords(1).first)
    }

    private func describe(_ exchange: Exchange, purpose: Purpose) -> DatabaseError {
        let unanswered = exchange.outcomeIfUnanswered(purpose)
        let failure = exchange.failure?.diagnostics
        if let failure, failure.sqlState != nil {
            let endsSession = exchange.isTransportDead || failure.endsSession
            if endsSession { breakOff() }
            if endsSession, let error = interruptionError(phase: .waiting, outcome: unanswered) { return error }
            // A server that says why it ends the session has aborted the statement; of a COMMIT we do not assume it.
            let outcome: DatabaseError.Outcome = endsSession && purpose == .commit ? .commitOutcomeUnknown : .failed
            return DatabaseError(diagnostics: failure, host: host, phase: .waiting, outcome: outcome)
        }
        breakOff()
        if exchange.isCopying {
            return error(
                .unsupportedStatement,
                "The statement starts a COPY, which a query cannot serve; the connection is discarded.",
                phase: .waiting,
                outcome: .mayHaveRun
            )
        }
        if exchange.isTransportDead { return lostConnection(phase: .waiting, outcome: unanswered) }
        return error(
            .protocolViolation,
            "\(host) sent what is not PostgreSQL's protocol: \(failure?.message ?? "")",
            phase: .waiting,
            outcome: unanswered
        )
    }
}

extension Exchange {
    /// What is known of the caller's statement if no answer to this exchange is seen.
    func outcomeIfUnanswered(_ purpose: Purpose) -> DatabaseError.Outcome {
        if isFlushing { return .notSent }
        switch command {
        case .preparation, .deallocation: return .notSent
        case .statement, .script: return purpose == .commit ? .commitOutcomeUnknown : .mayHaveRun
        }
    }
}

extension SQL {
    /// True for COMMIT, END and PREPARE TRANSACTION.
    var isCommit: Bool {
        let words = leadingWords(2)
        return words.first == "COMMIT" || words.first == "END" || words == ["PREPARE", "TRANSACTION"]
    }

    /// The keywords that it begins with, in capitals.
    fileprivate func leadingWords(_ count: Int) -> [String] {
        // Comments and blanks in front are rare, and long ones rarer.
        SQLScanner(Array(text.utf8.prefix(4096))).leadingWords(count)
    }
}

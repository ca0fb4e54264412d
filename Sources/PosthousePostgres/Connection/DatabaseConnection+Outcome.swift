// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import Synchronization

extension DatabaseConnection {
    /// The failure that an exchange which is over ended with, if it did. Breaks the connection off if it is not usable any
    /// more, and reports what it is evidence of.
    func failure(of exchange: Exchange, sql: SQL, purpose: Purpose) -> DatabaseError? {
        guard exchange.failure != nil || exchange.isTransportDead || exchange.isCopying else { return nil }
        var error = describe(exchange, sql: sql, purpose: resolve(purpose, sql))
        if error.outcome == .failed, mayHaveCommitted(exchange, sql) { error.outcome = .mayHaveRun }
        noteEffects(of: error)
        // A pooler in between reports the loss of its own connections (08) by itself.
        if let sqlState = error.sqlState, sqlState.classCode != "08" { countAnswer() }
        report(error)
        return error
    }

    /// Whether a part of what failed may be there to stay: a script that has committed, or what could while it
    /// ran.
    private func mayHaveCommitted(_ exchange: Exchange, _ sql: SQL) -> Bool {
        if exchange.results.contains(where: \.isCommit) { return true }
        // Within a transaction a procedure cannot commit.
        return !state.beganInTransaction && sql.mayCommitWithin
    }

    private func describe(_ exchange: Exchange, sql: SQL, purpose: Purpose) -> DatabaseError {
        let unanswered = outcomeIfUnanswered(exchange, sql, purpose)
        let failure = exchange.failure?.diagnostics
        if let failure, let sqlState = failure.sqlState {
            let endsSession = exchange.isTransportDead || failure.endsSession
            if endsSession { breakOff() }
            if endsSession, let error = interruptionError(phase: .waiting, outcome: unanswered) { return error }
            // A server that says why it ends the session has aborted the statement. We do not assume it of a COMMIT; nor of
            // a statement that it called complete, which commits after that; nor if a pooler speaks of its own connection
            // to the server (08P01).
            let isInDoubt =
                purpose == .commit || exchange.result != nil || !exchange.results.isEmpty || sqlState.classCode == "08"
            return DatabaseError(
                diagnostics: failure,
                host: host,
                phase: .waiting,
                outcome: endsSession ? outcomeOfEnd(exchange, isInDoubt ? unanswered : .failed) : .failed
            )
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

    /// What comes before the statement ended the session: the statement itself was never sent.
    private func outcomeOfEnd(_ exchange: Exchange, _ outcome: DatabaseError.Outcome) -> DatabaseError.Outcome {
        switch exchange.command {
        case .preparation, .deallocation: .notSent
        case .statement, .script: outcome
        }
    }

    /// What is known of the caller's statement if no answer to this exchange is seen.
    func outcomeIfUnanswered(_ exchange: Exchange, _ sql: SQL, _ purpose: Purpose) -> DatabaseError.Outcome {
        switch exchange.command {
        case .preparation, .deallocation: return .notSent
        // What is not complete was not read as a message.
        case .script where exchange.isFlushing: return .notSent
        // The last message has not left, without which nothing is committed, but for what commits by itself.
        case .statement where exchange.isFlushing && purpose != .commit && !sql.mayCommitWithin: return .notSent
        case .statement, .script: break
        }
        if purpose == .commit { return .commitOutcomeUnknown }
        if purpose == .begin { return .failed }
        // Without a COMMIT nothing of a transaction stays. Only a script can have ended it in passing, and begun anew.
        guard state.beganInTransaction else { return .mayHaveRun }
        if case .script = exchange.command, purpose != .cleanUp, sql.endsTransaction { return .mayHaveRun }
        return .failed
    }
}

// MARK: - What lasts

extension DatabaseConnection {
    /// After a good answer: whether what ran may outlast the session. On what says that it is a standby too: behind a pooler
    /// it goes on saying so after a promotion.
    @inline(__always)
    func noteEffects(of exchange: Exchange, _ purpose: Purpose) {
        let lasts: Bool
        if let result = exchange.result {
            let commits = result.columnCount == 0 && result.isCommit
            lasts = commits || !state.beganInTransaction && pq.transactionStatus == PQTRANS_IDLE
        } else if purpose == .cleanUp {
            lasts = false
        } else {
            lasts = scriptLasts(exchange)
        }
        if lasts { countEffect() }
    }

    private func scriptLasts(_ exchange: Exchange) -> Bool {
        let results = exchange.results
        if results.contains(where: \.isCommit) { return true }
        guard state.beganInTransaction else {
            // A lone BEGIN.
            return results.count > 1 || pq.transactionStatus == PQTRANS_IDLE
        }
        return results.count > 1 && results.contains(where: \.isRollback)
    }

    /// What failed without a word on how it ended may last.
    func noteEffects(of error: DatabaseError) {
        if error.outcome == .mayHaveRun || error.outcome == .commitOutcomeUnknown { countEffect() }
    }

    /// Called by the owner, who alone writes.
    @inline(__always)
    func countAnswer() {
        answers.store(answers.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }

    /// Called by the owner, who alone writes.
    @inline(__always)
    private func countEffect() {
        effects.store(effects.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }
}

extension SQL {
    /// True for COMMIT, END and PREPARE TRANSACTION.
    var isCommit: Bool { Self.commits(leadingWords(2)) }

    /// True if one of several statements is a COMMIT. Reads all of the text.
    var containsCommit: Bool {
        SQLScanner(Array(text.utf8)).statements(words: 2).contains(where: Self.commits)
    }

    /// True if one of several statements ends a transaction, well or not. Reads all of the text.
    var endsTransaction: Bool {
        SQLScanner(Array(text.utf8)).statements(words: 4).contains { words in
            switch words.first {
            case "ROLLBACK": !words.contains("TO")
            case "ABORT": true
            default: Self.commits(words)
            }
        }
    }

    /// True for what can commit while it runs: a procedure, a block of code, and maintenance that goes step by step.
    var mayCommitWithin: Bool {
        let words = leadingWords(4)
        return ["CALL", "DO", "VACUUM", "REINDEX", "CLUSTER"].contains(words.first) || words.contains("CONCURRENTLY")
    }

    private static func commits(_ words: [String]) -> Bool {
        words.first == "COMMIT" || words.first == "END" || words.prefix(2) == ["PREPARE", "TRANSACTION"]
    }

    /// The keywords that it begins with, in capitals.
    private func leadingWords(_ count: Int) -> [String] {
        // Comments and blanks in front are rare, and long ones rarer.
        SQLScanner(Array(text.utf8.prefix(4096))).leadingWords(count)
    }
}

// SPDX-License-Identifier: Apache-2.0

/// Why a connection or a statement failed, on which host, while doing what, and whether the statement may have run.
///
/// Decide on ``code``, ``sqlState`` and ``outcome``; the texts are for people. Passwords and parameter values are never
/// part of an error.
public struct DatabaseError: Error, Sendable {
    /// The fields live behind one reference: a thrown error is one word wide, and the path without errors pays nothing.
    private final class Storage: Sendable {
        let fields: Fields

        init(_ fields: Fields) {
            self.fields = fields
        }
    }

    private struct Fields: Sendable {
        var code: Code
        var message: String
        var host: String?
        var phase: Phase
        var outcome: Outcome
        var diagnostics: ServerDiagnostics?
        var sqlState: SQLState?
        var attempts: [DatabaseError] = []
    }

    private var storage: Storage

    private var fields: Fields {
        get { storage.fields }
        set { storage = Storage(newValue) }
    }

    /// Makes an error. Drivers and adapters make errors; applications only read them.
    ///
    /// - Parameters:
    ///   - code: What kind of failure it was.
    ///   - message: What failed, why, and what to do. Never with a password or a parameter value in it.
    ///   - host: `host:port`, if a host was involved.
    ///   - phase: What the driver was doing.
    ///   - outcome: What is known about the statement's fate.
    public init(code: Code, message: String, host: String?, phase: Phase, outcome: Outcome) {
        storage = Storage(Fields(code: code, message: message, host: host, phase: phase, outcome: outcome))
    }

    init(diagnostics: ServerDiagnostics, host: String?, phase: Phase, outcome: Outcome) {
        storage = Storage(
            Fields(
                code: .server,
                message: diagnostics.message,
                host: host,
                phase: phase,
                outcome: outcome,
                diagnostics: diagnostics,
                sqlState: diagnostics.sqlState
            )
        )
    }

    /// What kind of failure it was.
    public var code: Code {
        get { fields.code }
        set { fields.code = newValue }
    }

    /// What failed, in words: the server's primary message, or the driver's own.
    public var message: String { fields.message }

    /// `host:port` of the server, or the path of its Unix socket.
    public var host: String? { fields.host }

    /// What the driver was doing.
    public var phase: Phase {
        get { fields.phase }
        set { fields.phase = newValue }
    }

    /// What is known about the statement's fate.
    public var outcome: Outcome {
        get { fields.outcome }
        set { fields.outcome = newValue }
    }

    /// The server's five-character code; nil if the failure was not reported by a server.
    public var sqlState: SQLState? {
        get { fields.sqlState }
        set { fields.sqlState = newValue }
    }

    /// All that the server said; nil if the failure was not reported by a server. While connecting, libpq hands out only
    /// the message and the SQLSTATE.
    public var diagnostics: ServerDiagnostics? { fields.diagnostics }

    /// The failures of the single addresses, if the host name has several and each was tried.
    public var attempts: [DatabaseError] {
        get { fields.attempts }
        set { fields.attempts = newValue }
    }
}

extension DatabaseError {
    /// True if the connection is gone or unusable after this error.
    public var isConnectionFailure: Bool {
        switch code {
        case .addressNotFound, .connectionRefused, .hostUnreachable, .tlsFailed, .authenticationFailed,
            .invalidParameters, .localFailure, .protocolViolation, .unsuitableServer, .connectionLost,
            .connectionClosed, .terminated,
            .fenced, .unsupportedStatement:
            true
        case .timedOut, .cancelled:
            outcome != .notSent || phase == .resolving || phase == .connecting || phase == .authenticating
        case .server:
            sqlState.map { $0.classCode == "08" } ?? false || diagnostics?.endsSession ?? false
                || phase == .connecting || phase == .authenticating
        default:
            false
        }
    }

    /// True if the same call may well succeed later, without any change by the caller: a lost or refused connection, a
    /// server that starts, stops or is full, a serialization failure, a deadlock.
    ///
    /// It says nothing about whether the statement has run: see ``isSafeToRetry``.
    public var isTransient: Bool {
        switch code {
        case .addressNotFound, .connectionRefused, .hostUnreachable, .localFailure, .connectionLost, .connectionClosed,
            .timedOut, .fenced, .unsuitableServer:
            return true
        case .server:
            guard let sqlState else { return false }
            return sqlState.classCode == "08" || sqlState.classCode == "53" || sqlState == .lockNotAvailable
                || SQLState.endsSession.contains(sqlState) || sqlState == .cannotConnectNow || isTransactionConflict
        default:
            return false
        }
    }

    /// True if the failed call certainly had no effect, and trying it again makes sense: by itself if it was no part of a
    /// transaction, else with the whole of it.
    public var isSafeToRetry: Bool {
        (outcome == .notSent || outcome == .failed) && isTransient
    }

    /// True if the server keeps what was asked for to itself, or does not have it: a function, a view.
    package var isRefusal: Bool {
        sqlState == .insufficientPrivilege || sqlState == "42883" || sqlState == .featureNotSupported
            || sqlState == .undefinedTable
    }

    /// True for a serialization failure or a deadlock: run the whole transaction again.
    public var isTransactionConflict: Bool {
        sqlState == .serializationFailure || sqlState == .deadlockDetected
    }
}

extension SQLState {
    /// Reports after which the server closes the session.
    static let endsSession: Set<SQLState> = [
        .adminShutdown, .crashShutdown, .databaseDropped, .idleSessionTimeout,
    ]
}

extension DatabaseError: CustomStringConvertible {
    /// One paragraph for a log: message, detail and hint, then code, SQLSTATE, host, phase and outcome.
    public var description: String {
        var text = message
        if let detail = diagnostics?.detail {
            text += " Detail: \(detail)"
        }
        if let hint = diagnostics?.hint {
            text += " Hint: \(hint)"
        }
        var facts = ["\(code)"]
        if let sqlState {
            facts.append("SQLSTATE \(sqlState)")
        }
        if let host {
            facts.append("host \(host)")
        }
        facts.append("while \(phase)")
        facts.append("\(outcome)")
        text += " [\(facts.joined(separator: ", "))]"
        if !attempts.isEmpty {
            text += " Attempts: " + attempts.map(\.description).joined(separator: "; ")
        }
        return text
    }
}

// SPDX-License-Identifier: Apache-2.0

import CLibPQ

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// What is known when a connection could not be made, and the typed error that it amounts to.
///
/// libpq tells a failure to connect in words only, and in the user's language. The facts come from elsewhere: from the
/// socket, looked at before each step; from the step that libpq was at; from the SQLSTATE, which the verbose form of the
/// message contains; and last from the system's own texts, which libpq takes from the same `strerror` that is asked here.
struct ConnectFailure {
    /// `host:port`, and the address if there are several ways to it.
    var host: String
    /// Where libpq was before the step that failed.
    var status: ConnStatusType = CONNECTION_STARTED
    /// What the socket held before the step that failed.
    var input: SocketProbe.Input = .nothing
    /// Why connecting the socket failed; 0 if it did not.
    var connectError: Int32 = 0
    var isEncrypted = false
    var needsPassword = false
    /// libpq got as far as a socket.
    var hadSocket = true
    /// libpq's message.
    var message = ""

    var error: DatabaseError {
        if let report = ServerReport(message) {
            return serverError(report)
        }
        if connectError != 0 { return systemError(connectError) }
        switch input {
        case .failure(let number): return systemError(number)
        case .end: return make(.connectionLost, "\(host) closed the connection during the login.")
        case .nothing, .byte: break
        }
        if let number = Self.namedError(in: message) { return systemError(number) }
        guard hadSocket else { return make(.invalidParameters, message) }
        switch status {
        case CONNECTION_STARTED, CONNECTION_MADE, CONNECTION_NEEDED: return make(.connectionRefused, message)
        case CONNECTION_SSL_STARTUP: return make(answersTLSRequest ? .tlsFailed : .protocolViolation, message)
        default: return loginError
        }
    }

    /// The phase that a step of libpq belongs to.
    var phase: DatabaseError.Phase {
        switch status {
        case CONNECTION_STARTED, CONNECTION_MADE, CONNECTION_NEEDED, CONNECTION_SSL_STARTUP: .connecting
        default: .authenticating
        }
    }

    /// A server answers the request for TLS with S or N, or with the E of an error; anything else is no PostgreSQL.
    private var answersTLSRequest: Bool {
        guard !isEncrypted, case .byte(let byte) = input else { return true }
        return [UInt8(ascii: "S"), UInt8(ascii: "N"), UInt8(ascii: "E")].contains(byte)
    }

    private var loginError: DatabaseError {
        if needsPassword {
            return make(.authenticationFailed, "\(host) asks for a password, and none is given. \(message)")
        }
        // Inside TLS the first byte is not the message's; something that speaks TLS is taken for a server.
        guard !isEncrypted, case .byte(let byte) = input else { return make(.authenticationFailed, message) }
        return switch byte {
        case UInt8(ascii: "R"): make(.authenticationFailed, message)
        case UInt8(ascii: "E"): make(.server, message)
        default: make(.protocolViolation, message)
        }
    }

    private func serverError(_ report: ServerReport) -> DatabaseError {
        var diagnostics = ServerDiagnostics(message: report.message)
        diagnostics.sqlState = report.sqlState
        return DatabaseError(diagnostics: diagnostics, host: host, phase: phase, outcome: .notSent)
    }

    private func systemError(_ number: Int32) -> DatabaseError {
        let code = Self.code(of: number)
        let text = String(cString: strerror(number))
        return make(code, "Connecting to \(host) failed: \(text) (errno \(number)).")
    }

    private func make(_ code: DatabaseError.Code, _ message: String) -> DatabaseError {
        DatabaseError(code: code, message: message, host: host, phase: phase, outcome: .notSent)
    }

    private static func code(of number: Int32) -> DatabaseError.Code {
        switch number {
        // A Unix socket whose server is not there, or does not keep up with accepting (EAGAIN).
        case ECONNREFUSED, ENOENT, EAGAIN: .connectionRefused
        // ENETUNREACH and ENETDOWN are this machine's: it has no way to anybody there.
        case EHOSTUNREACH, EHOSTDOWN: .hostUnreachable
        case ETIMEDOUT: .timedOut
        case ECONNRESET, EPIPE, ECONNABORTED, ENOTCONN: .connectionLost
        default: .localFailure
        }
    }

    /// The error whose text, as this process's language has it, stands in a message.
    private static func namedError(in message: String) -> Int32? {
        let numbers = [
            ECONNREFUSED, ENOENT, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN, ETIMEDOUT, ECONNRESET, EPIPE,
            ECONNABORTED,
            EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EACCES, EPERM, EAFNOSUPPORT, EAGAIN,
        ]
        return numbers.first { message.contains(String(cString: strerror($0))) }
    }
}

/// The server's report inside libpq's verbose message: `...: FATAL:  28P01: password authentication failed ...`.
struct ServerReport: Equatable {
    let sqlState: SQLState
    let message: String

    /// Nil if there is none. The SQLSTATE is the first word of five digits and capitals, at least one of them a digit,
    /// that ends with a colon; the severity before it is in the server's language.
    init?(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: true)
        for (index, line) in lines.enumerated() {
            guard let found = Self.find(in: line) else { continue }
            sqlState = found.sqlState
            // What follows is indented or labelled (DETAIL, HINT); the last line is the place in the server's source.
            let rest = lines[(index + 1)...].prefix { !$0.hasSuffix(".c") && !$0.contains(".c:") }
            message = ([found.message] + rest).joined(separator: " ")
            return
        }
        return nil
    }

    private static func find(in line: Substring) -> (sqlState: SQLState, message: Substring)? {
        var rest = line
        while let colon = rest.range(ofFirst: ": ") {
            let word = rest[..<colon.lowerBound].suffix(5)
            let before = rest[..<colon.lowerBound].dropLast(5).last
            if word.utf8.count == 5, before == nil || before == " ", word.allSatisfy({ $0.isSQLStateCharacter }),
                word.contains(where: { $0.isNumber })
            {
                return (SQLState(rawValue: String(word)), rest[colon.upperBound...])
            }
            rest = rest[colon.upperBound...]
        }
        return nil
    }
}

extension Substring {
    fileprivate func range(ofFirst separator: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(separator) { return start..<index(start, offsetBy: separator.count) }
            start = index(after: start)
        }
        return nil
    }
}

extension Character {
    fileprivate var isSQLStateCharacter: Bool {
        guard let ascii = asciiValue else { return false }
        return (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(ascii)
            || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(ascii)
    }
}

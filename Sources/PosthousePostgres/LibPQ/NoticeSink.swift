// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// Where libpq delivers notices: inside its own calls, on the owner's thread.
///
/// `@unchecked Sendable`: the mutable field is touched by the connection's owner only, because libpq calls the receiver
/// only inside calls that the owner makes.
final class NoticeSink: @unchecked Sendable {
    private let handler: (@Sendable (ServerDiagnostics) -> Void)?

    /// The report after which the server closes the session, if one came outside an answer: an idle session gets its end
    /// (57P01) as a notice, and so does any session when the server crashes (57P02).
    private(set) var sessionEnd: ServerDiagnostics?

    init(handler: (@Sendable (ServerDiagnostics) -> Void)?) {
        self.handler = handler
    }

    func receive(_ result: OpaquePointer) {
        let diagnostics = ServerDiagnostics(result)
        if diagnostics.endsSession {
            sessionEnd = diagnostics
        }
        handler?(diagnostics)
    }
}

extension ServerDiagnostics {
    /// The server closes the session after this.
    var endsSession: Bool {
        severity == "FATAL" || severity == "PANIC" || sqlState.map(SQLState.endsSession.contains) == true
    }

    /// Copies the fields of an error or a notice.
    init(_ result: OpaquePointer) {
        func field(_ code: Unicode.Scalar) -> String? {
            PQresultErrorField(result, Int32(code.value)).map { String(cString: $0) }
        }
        // The codes of postgres_ext.h, PG_DIAG_*.
        var fallback = String(cString: PQresultErrorMessage(result))
        while fallback.last?.isNewline == true {
            fallback.removeLast()
        }
        self.init(message: field("M") ?? fallback)
        severity = field("V") ?? field("S")
        sqlState = field("C").map(SQLState.init(rawValue:))
        detail = field("D")
        hint = field("H")
        position = field("P").flatMap { Int($0) }
        internalPosition = field("p").flatMap { Int($0) }
        internalQuery = field("q")
        context = field("W")
        schema = field("s")
        table = field("t")
        column = field("c")
        dataType = field("d")
        constraint = field("n")
        routine = field("R")
    }
}

// SPDX-License-Identifier: Apache-2.0

import CLibPQ

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The owner of one `PGresult`; frees it when the last row that points into it is gone.
///
/// `@unchecked Sendable`: libpq never changes a result after it was handed out, so any thread may read it, and the
/// reference count makes sure that exactly one frees it.
final class ServerResult: @unchecked Sendable {
    private let result: OpaquePointer

    /// The server it came from, for error messages.
    let host: String

    let rowCount: Int
    let columnCount: Int

    /// Takes over `result`.
    init(owning result: OpaquePointer, host: String) {
        self.result = result
        self.host = host
        rowCount = Int(PQntuples(result))
        columnCount = Int(PQnfields(result))
    }

    deinit {
        PQclear(result)
    }

    /// What an error result says.
    var diagnostics: ServerDiagnostics { ServerDiagnostics(result) }

    var commandTag: String {
        String(cString: PQcmdStatus(result))
    }

    /// `ROLLBACK`.
    var isRollback: Bool { hasTag("ROLLBACK") }

    /// `COMMIT` and `PREPARE TRANSACTION`.
    var isCommit: Bool { hasTag("COMMIT") || hasTag("PREPARE TRANSACTION") }

    /// `DISCARD ALL` and `DEALLOCATE ALL`.
    var dropsPreparedStatements: Bool { hasTag("DISCARD ALL") || hasTag("DEALLOCATE ALL") }

    /// Compares without making a string: asked after each statement.
    @inline(__always)
    private func hasTag(_ wanted: StaticString) -> Bool {
        guard let tag = PQcmdStatus(result) else { return false }
        return tag[0] == CChar(bitPattern: wanted.utf8Start[0])
            && strcmp(tag, UnsafeRawPointer(wanted.utf8Start).assumingMemoryBound(to: CChar.self)) == 0
    }

    var affectedRows: Int {
        // Empty for commands that do not count rows.
        Int(String(cString: PQcmdTuples(result))) ?? 0
    }

    func columnName(_ index: Int) -> String {
        PQfname(result, Int32(index)).map { String(cString: $0) } ?? ""
    }

    func columnType(_ index: Int) -> SQLType {
        SQLType(oid: PQftype(result, Int32(index)))
    }

    /// The first column of exactly this name.
    func columnIndex(named name: String) -> Int? {
        var name = name
        return name.withUTF8 { wanted in
            (0..<columnCount).first { index in
                guard let candidate = PQfname(result, Int32(index)) else { return false }
                var position = 0
                while position < wanted.count {
                    // A shorter candidate ends this at its NUL, which no wanted byte equals (names hold no NUL).
                    guard UInt8(bitPattern: candidate[position]) == wanted[position], wanted[position] != 0 else {
                        return false
                    }
                    position += 1
                }
                return candidate[position] == 0
            }
        }
    }

    /// Reads one value. Both indexes are in range.
    func decode<Value: SQLDecodable>(row: Int, column: Int, as type: Value.Type) throws(DatabaseError) -> Value {
        do throws(SQLDecodingFailure) {
            guard PQgetisnull(result, Int32(row), Int32(column)) == 0 else {
                guard let null = Value.sqlNull else { throw SQLDecodingFailure.null }
                return null
            }
            let length = Int(PQgetlength(result, Int32(row), Int32(column)))
            // The span does not outlive this call, and `self` keeps the memory alive through it.
            let text = UnsafeRawBufferPointer(start: PQgetvalue(result, Int32(row), Int32(column)), count: length)
            defer { withExtendedLifetime(self) {} }
            return try Value(sqlText: text.assumingMemoryBound(to: UInt8.self).span, type: columnType(column))
        } catch {
            throw decodingError(error, row: row, column: column, type: type)
        }
    }

    private func decodingError<Value>(
        _ failure: SQLDecodingFailure,
        row: Int,
        column: Int,
        type: Value.Type
    ) -> DatabaseError {
        DatabaseError(
            code: .decodingFailed,
            message: "Column \"\(columnName(column))\" (index \(column), \(columnType(column))) of row \(row) "
                + "cannot be read as \(type): \(failure.explanation).",
            host: host,
            phase: .decoding,
            outcome: .completed
        )
    }

    func missingColumn(_ what: String) -> DatabaseError {
        let names = (0..<columnCount).map { "\"\(columnName($0))\"" }.joined(separator: ", ")
        return DatabaseError(
            code: .columnNotFound,
            message: "The result has no column \(what). It has \(columnCount == 0 ? "none" : names).",
            host: host,
            phase: .decoding,
            outcome: .completed
        )
    }
}

// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
    public import FoundationEssentials
#else
    public import Foundation
#endif

extension Date: SQLArrayElement {
    /// A `timestamptz` in UTC, to the microsecond. In the place of a `timestamp` or a `date` the server ignores the
    /// offset, so what is stored is the time in UTC.
    public var sqlText: String? {
        // Beyond what PostgreSQL can store the text is one that it refuses, instead of a trap here.
        guard let microseconds = Int64(exactly: (timeIntervalSince1970 * 1_000_000).rounded()) else {
            return "out of range"
        }
        return Timestamp.text(microseconds: microseconds)
    }

    /// Reads `timestamptz`, `timestamp` and `date`; the latter two as UTC. `infinity` is out of range.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        self.init(timeIntervalSince1970: Double(try Timestamp.microseconds(sqlText)) / 1_000_000)
    }
}

extension UUID: SQLArrayElement {
    /// The 36 characters of RFC 9562.
    public var sqlText: String? { uuidString }

    /// Reads the 36 characters of RFC 9562.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        guard let value = UUID(uuidString: String(copying: sqlText)) else { throw .malformed("the text is not a UUID") }
        self = value
    }
}

extension Data: SQLArrayElement {
    /// A `bytea`.
    public var sqlText: String? { Bytea.encode(self) }

    /// Reads a `bytea`.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        self.init(try [UInt8](sqlText: sqlText, type: type))
    }
}

extension Decimal: SQLArrayElement {
    /// Plain digits; not-a-number is `NaN`.
    public var sqlText: String? { isNaN ? "NaN" : description }

    /// Reads digits or `NaN`. A number with more significant digits than a `Decimal` keeps (38), or an infinite one, is out
    /// of range: digits are never dropped silently.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        var digits = 0
        for index in 0..<sqlText.count {
            let byte = sqlText[index]
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                digits += digits > 0 || byte != UInt8(ascii: "0") ? 1 : 0
            case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): break
            case UInt8(ascii: "N"):
                self = .nan
                return
            case UInt8(ascii: "I"): throw .outOfRange
            default: throw .malformed("the text is not a number")
            }
        }
        guard digits <= 38 else { throw .outOfRange }
        guard let value = Decimal(string: String(copying: sqlText)) else {
            throw .malformed("the text is not a number")
        }
        self = value
    }
}

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
        let text = String(copying: sqlText)
        switch text {
        case "NaN":
            self = .nan
            return
        case "Infinity", "-Infinity": throw .outOfRange
        default: break
        }
        guard let digits = Self.significantDigits(of: text) else { throw .malformed("the text is not a number") }
        guard digits <= 38 else { throw .outOfRange }
        guard let value = Decimal(string: text) else {
            throw .malformed("the text is not a number")
        }
        self = value
    }

    /// How many digits a number has without leading zeros; nil if the text is none. Foundation would read as much of it as
    /// looks like one.
    private static func significantDigits(of text: String) -> Int? {
        var rest = text.utf8[...]
        func isSign(_ byte: UInt8?) -> Bool { byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") }
        func takeDigits() -> Substring.UTF8View {
            let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            rest = rest[digits.endIndex...]
            return digits
        }
        if isSign(rest.first) { rest.removeFirst() }
        let whole = takeDigits()
        var all = Array(whole)
        if rest.first == UInt8(ascii: ".") {
            rest.removeFirst()
            all += takeDigits()
        }
        guard !all.isEmpty else { return nil }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest.removeFirst()
            if isSign(rest.first) { rest.removeFirst() }
            guard !takeDigits().isEmpty else { return nil }
        }
        return rest.isEmpty ? all.drop { $0 == UInt8(ascii: "0") }.count : nil
    }
}

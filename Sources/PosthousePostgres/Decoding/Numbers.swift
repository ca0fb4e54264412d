// SPDX-License-Identifier: Apache-2.0

extension SQLDecodable where Self: FixedWidthInteger {
    /// Reads decimal digits with an optional sign.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        var index = 0
        let isNegative = sqlText.count > 0 && sqlText[0] == UInt8(ascii: "-")
        if isNegative || (sqlText.count > 0 && sqlText[0] == UInt8(ascii: "+")) {
            index = 1
        }
        guard index < sqlText.count else { throw .malformed("the text is not a whole number") }
        var value: Self = 0
        var overflowed = false
        while index < sqlText.count {
            let digit = sqlText[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { throw .malformed("the text is not a whole number") }
            let (product, productOverflow) = value.multipliedReportingOverflow(by: 10)
            // A negative number is built downwards: its range is larger by one.
            let (sum, sumOverflow) =
                isNegative
                ? product.subtractingReportingOverflow(Self(digit)) : product.addingReportingOverflow(Self(digit))
            overflowed = overflowed || productOverflow || sumOverflow
            value = sum
            index += 1
        }
        guard !overflowed else { throw .outOfRange }
        self = value
    }
}

extension Int: SQLArrayElement {}
extension Int8: SQLArrayElement {}
extension Int16: SQLArrayElement {}
extension Int32: SQLArrayElement {}
extension Int64: SQLArrayElement {}
extension UInt: SQLArrayElement {}
extension UInt16: SQLArrayElement {}
extension UInt32: SQLArrayElement {}
extension UInt64: SQLArrayElement {}

extension UInt8: SQLArrayElement {
    /// An array of bytes is a `bytea`, not an array of numbers.
    public static func encodeSQLArray(_ elements: [UInt8]) -> String {
        Bytea.encode(elements)
    }

    /// An array of bytes is a `bytea`, not an array of numbers.
    public static func decodeSQLArray(_ sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) -> [UInt8] {
        guard type == .bytea else { throw .typeMismatch("only bytea is read as bytes") }
        return try Bytea.decode(sqlText)
    }
}

extension Double: SQLArrayElement {
    /// Reads digits, `Infinity` or `NaN`.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        guard let value = Double(String(copying: sqlText)) else { throw .malformed("the text is not a number") }
        self = value
    }
}

extension Float: SQLArrayElement {
    /// Reads digits, `Infinity` or `NaN`; a number above the range of a `Float` is an error, not infinity.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        let text = String(copying: sqlText)
        guard let value = Float(text) else { throw .malformed("the text is not a number") }
        if value.isInfinite, let wide = Double(text), wide.isFinite { throw .outOfRange }
        self = value
    }
}

extension Bool: SQLArrayElement {
    /// Reads `t` and `f`, and also `true` and `false`, which a text column may hold.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        switch String(copying: sqlText) {
        case "t", "true": self = true
        case "f", "false": self = false
        default: throw .malformed("the text is neither true nor false")
        }
    }
}

extension String: SQLArrayElement {
    /// The text of a column of any type, as the server wrote it.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        self.init(copying: sqlText)
    }

    /// Copies UTF-8; bytes that are not UTF-8 (a `SQL_ASCII` database may send some) become U+FFFD.
    init(copying utf8: Span<UInt8>) {
        self = utf8.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }
}

// SPDX-License-Identifier: Apache-2.0

/// A Swift value that can be a parameter of a statement.
///
/// Parameters are sent in the server's text format without a type, so the server reads them as it reads a quoted literal
/// in that place. To make your own type a parameter, say how it is written:
///
/// ```swift
/// extension Email: SQLEncodable {
///     var sqlText: String? { address }
/// }
/// ```
public protocol SQLEncodable {
    /// The value as PostgreSQL writes it; nil is NULL.
    var sqlText: String? { get }
}

/// A type that can be an element of a PostgreSQL array: `[Int]` is a parameter and a result because `Int` is one.
///
/// Conforming is enough; the requirements have defaults.
public protocol SQLArrayElement: SQLEncodable, SQLDecodable {
    /// The text of an array of this type.
    static func encodeSQLArray(_ elements: [Self]) -> String

    /// An array of this type from its text.
    static func decodeSQLArray(_ sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) -> [Self]
}

extension SQLArrayElement {
    /// `{"1","2",NULL}`.
    public static func encodeSQLArray(_ elements: [Self]) -> String {
        var text = "{"
        var first = true
        for element in elements {
            if !first {
                text += ","
            }
            first = false
            guard let elementText = element.sqlText else {
                text += "NULL"
                continue
            }
            // Quoted always: then no element can be mistaken for NULL, a delimiter or a nested array.
            text += "\""
            for scalar in elementText.unicodeScalars {
                if scalar == "\"" || scalar == "\\" {
                    text += "\\"
                }
                text.unicodeScalars.append(scalar)
            }
            text += "\""
        }
        text += "}"
        return text
    }
}

extension Optional: SQLEncodable where Wrapped: SQLEncodable {
    /// The value's text, or nil for NULL.
    public var sqlText: String? { self?.sqlText }
}

extension Array: SQLEncodable where Element: SQLArrayElement {
    /// The text of a PostgreSQL array; for `[UInt8]`, of a `bytea`.
    public var sqlText: String? { Element.encodeSQLArray(self) }
}

extension SQLEncodable where Self: RawRepresentable, RawValue: SQLEncodable {
    /// The text of the raw value.
    public var sqlText: String? { rawValue.sqlText }
}

extension SQLEncodable where Self: BinaryInteger {
    /// The number in decimal digits.
    public var sqlText: String? { String(self) }
}

extension Int: SQLEncodable {}
extension Int8: SQLEncodable {}
extension Int16: SQLEncodable {}
extension Int32: SQLEncodable {}
extension Int64: SQLEncodable {}
extension UInt: SQLEncodable {}
extension UInt8: SQLEncodable {}
extension UInt16: SQLEncodable {}
extension UInt32: SQLEncodable {}
extension UInt64: SQLEncodable {}

extension Double: SQLEncodable {
    /// The shortest digits that give the same number back; `inf` and `nan` are numbers to PostgreSQL too.
    public var sqlText: String? { description }
}

extension Float: SQLEncodable {
    /// The shortest digits that give the same number back; `inf` and `nan` are numbers to PostgreSQL too.
    public var sqlText: String? { description }
}

extension Bool: SQLEncodable {
    /// `true` or `false`.
    public var sqlText: String? { self ? "true" : "false" }
}

extension String: SQLEncodable {
    /// The string itself. One that contains U+0000 is refused when it is sent: PostgreSQL cannot store it.
    public var sqlText: String? { self }
}

extension Substring: SQLEncodable {
    /// The string itself.
    public var sqlText: String? { String(self) }
}

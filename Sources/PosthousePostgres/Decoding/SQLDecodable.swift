// SPDX-License-Identifier: Apache-2.0

/// A Swift type that can be read from a column of a result.
///
/// Results arrive in the server's text format. To read your own type, start from its text:
///
/// ```swift
/// extension Email: SQLDecodable {
///     init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
///         self.init(address: try String(sqlText: sqlText, type: type))
///     }
/// }
/// ```
///
/// An enum with a raw value that is readable needs only the conformance.
public protocol SQLDecodable {
    /// Reads a value that is not NULL.
    ///
    /// - Parameters:
    ///   - sqlText: The value as the server wrote it, in UTF-8. Valid during the call.
    ///   - type: The type of the column.
    init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure)

    /// What NULL becomes; nil (the default) if NULL is an error.
    static var sqlNull: Self? { get }
}

extension SQLDecodable {
    /// NULL is an error, unless the type is an optional.
    public static var sqlNull: Self? { nil }
}

/// Why a value does not fit a Swift type.
public struct SQLDecodingFailure: Error, Hashable, Sendable {
    /// The kinds of failure.
    public struct Reason: Hashable, Sendable {
        private enum Kind {
            case null, outOfRange, malformed, typeMismatch
        }

        private let kind: Kind

        private init(_ kind: Kind) {
            self.kind = kind
        }

        /// The value is NULL and the Swift type is not an optional.
        public static let null = Reason(.null)
        /// The value is outside what the Swift type can hold.
        public static let outOfRange = Reason(.outOfRange)
        /// The text is not a value of the Swift type.
        public static let malformed = Reason(.malformed)
        /// The column's type is not one that the Swift type is read from.
        public static let typeMismatch = Reason(.typeMismatch)
    }

    /// The kind of failure.
    public let reason: Reason

    /// The failure in words. Do not put the value in it: values are not for logs.
    public let explanation: String

    /// The value is NULL and the Swift type is not an optional.
    public static let null = SQLDecodingFailure(reason: .null, explanation: "the value is NULL; decode an optional")

    /// The value is outside what the Swift type can hold.
    public static let outOfRange = SQLDecodingFailure(reason: .outOfRange, explanation: "the value is out of range")

    /// The text is not a value of the Swift type.
    public static func malformed(_ explanation: String) -> SQLDecodingFailure {
        SQLDecodingFailure(reason: .malformed, explanation: explanation)
    }

    /// The column's type is not one that the Swift type is read from.
    public static func typeMismatch(_ explanation: String) -> SQLDecodingFailure {
        SQLDecodingFailure(reason: .typeMismatch, explanation: explanation)
    }
}

extension Optional: SQLDecodable where Wrapped: SQLDecodable {
    /// Reads the wrapped type.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        self = .some(try Wrapped(sqlText: sqlText, type: type))
    }

    /// NULL is nil.
    public static var sqlNull: Self? { .some(.none) }
}

extension Optional: SQLArrayElement where Wrapped: SQLArrayElement {}

extension Array: SQLDecodable where Element: SQLArrayElement {
    /// Reads a one-dimensional PostgreSQL array; for `[UInt8]`, a `bytea`.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        self = try Element.decodeSQLArray(sqlText, type: type)
    }
}

extension SQLDecodable where Self: RawRepresentable, RawValue: SQLDecodable {
    /// Reads the raw value.
    public init(sqlText: Span<UInt8>, type: SQLType) throws(SQLDecodingFailure) {
        guard let value = Self(rawValue: try RawValue(sqlText: sqlText, type: type)) else {
            throw .malformed("the value is no case of \(Self.self)")
        }
        self = value
    }
}

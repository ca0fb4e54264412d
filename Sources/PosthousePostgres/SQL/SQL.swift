// SPDX-License-Identifier: Apache-2.0

/// A statement and its parameters, written as a string literal.
///
/// An interpolated value becomes a parameter, so it can never be read as SQL:
///
/// ```swift
/// let adults: SQL = "SELECT name FROM people WHERE age >= \(age)"   // text: ... age >= $1
/// ```
///
/// Names cannot be parameters in PostgreSQL; quote them with `\(identifier:)`. Another `SQL` in an interpolation becomes
/// part of the text, its parameters renumbered. Text that you vouch for goes in with `\(raw:)`.
///
/// Parameters are sent as text without a type, so the server chooses the type from the context, as it does for a quoted
/// literal: where it cannot (`SELECT \(5)`), say which with a cast (`SELECT \(5)::int`).
public struct SQL: Hashable, Sendable {
    /// The text that is sent, with `$1`, `$2` and so on for the parameters.
    public let text: String

    /// The parameters in the server's text format; nil is NULL.
    let parameters: [String?]

    init(text: String, parameters: [String?]) {
        self.text = text
        self.parameters = parameters
    }

    /// A statement from text that did not come from a literal. You vouch for it: it is sent as it is.
    ///
    /// - Parameters:
    ///   - text: The SQL, with `$1`, `$2` and so on for the parameters.
    ///   - parameters: The values for `$1`, `$2` and so on.
    public init(raw text: String, parameters: [(any SQLEncodable)?] = []) {
        self.init(text: text, parameters: parameters.map { $0?.sqlText })
    }

    /// How many parameters the statement has.
    public var parameterCount: Int { parameters.count }
}

extension SQL: CustomStringConvertible {
    /// The text, without the values of the parameters.
    public var description: String { text }
}

extension SQL: CustomReflectable {
    /// Only the text: `dump` and debuggers do not show the values of the parameters.
    public var customMirror: Mirror {
        Mirror(self, children: ["text": text, "parameterCount": parameterCount])
    }
}

extension Sequence<SQL> {
    /// One statement from fragments, for example the conditions of a WHERE, with the parameters renumbered.
    ///
    /// - Parameter separator: What to put between two fragments.
    public func joined(separator: SQL = "") -> SQL {
        var interpolation = SQL.StringInterpolation(literalCapacity: 0, interpolationCount: 0)
        var first = true
        for fragment in self {
            if !first {
                interpolation.appendInterpolation(separator)
            }
            first = false
            interpolation.appendInterpolation(fragment)
        }
        return SQL(stringInterpolation: interpolation)
    }
}

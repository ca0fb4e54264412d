// SPDX-License-Identifier: Apache-2.0

extension SQL: ExpressibleByStringInterpolation {
    /// A statement without parameters.
    public init(stringLiteral value: String) {
        self.init(text: value, parameters: [])
    }

    /// A statement whose interpolated values are its parameters.
    public init(stringInterpolation: StringInterpolation) {
        self.init(text: stringInterpolation.text, parameters: stringInterpolation.parameters)
    }

    /// Collects text and parameters while a literal is built.
    public struct StringInterpolation: StringInterpolationProtocol, Sendable {
        var text: String
        var parameters: [String?]

        /// Called by the compiler.
        public init(literalCapacity: Int, interpolationCount: Int) {
            text = ""
            text.reserveCapacity(literalCapacity + 3 * interpolationCount)
            parameters = []
            parameters.reserveCapacity(interpolationCount)
        }

        /// Called by the compiler.
        public mutating func appendLiteral(_ literal: String) {
            text += literal
        }

        /// Binds a value: it is sent apart from the text and never read as SQL.
        public mutating func appendInterpolation<Value: SQLEncodable>(_ value: Value) {
            bind(value.sqlText)
        }

        /// Binds a value, or NULL for nil.
        public mutating func appendInterpolation<Value: SQLEncodable>(_ value: Value?) {
            bind(value?.sqlText)
        }

        private mutating func bind(_ parameter: String?) {
            parameters.append(parameter)
            text += "$\(parameters.count)"
        }

        /// Adds a fragment; its parameters are renumbered to follow those that are already there.
        public mutating func appendInterpolation(_ fragment: SQL) {
            let shift = parameters.count
            text += shift == 0 ? fragment.text : fragment.text.shiftingPlaceholders(by: shift)
            parameters += fragment.parameters
        }

        /// Quotes a name, or a qualified name given in parts: `\(identifier: "public", "my table")` becomes
        /// `"public"."my table"`.
        public mutating func appendInterpolation(identifier parts: String...) {
            text += parts.map(\.quotedAsIdentifier).joined(separator: ".")
        }

        /// Adds text that you vouch for, as it is.
        public mutating func appendInterpolation(raw: String) {
            text += raw
        }
    }
}

extension String {
    /// The name in double quotes, with double quotes inside it doubled.
    var quotedAsIdentifier: String {
        var quoted = "\""
        quoted.reserveCapacity(utf8.count + 2)
        for character in unicodeScalars {
            if character == "\"" {
                quoted.unicodeScalars.append("\"")
            }
            quoted.unicodeScalars.append(character)
        }
        quoted += "\""
        return quoted
    }

    /// The text with the number of each placeholder raised by `shift`.
    func shiftingPlaceholders(by shift: Int) -> String {
        let bytes = Array(utf8)
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + 8)
        var copied = 0
        for placeholder in SQLScanner(bytes).placeholders() {
            result += bytes[copied..<placeholder.range.lowerBound]
            result += "$\(placeholder.number + shift)".utf8
            copied = placeholder.range.upperBound
        }
        result += bytes[copied...]
        return String(decoding: result, as: UTF8.self)
    }
}

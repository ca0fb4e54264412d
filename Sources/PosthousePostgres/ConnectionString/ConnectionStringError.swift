// SPDX-License-Identifier: Apache-2.0

/// Connection parameters that cannot be used: what is wrong, why, and what to do. Never holds a password.
public struct ConnectionStringError: Error, Sendable, Hashable {
    /// The kinds of failure. More may be added.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String {
            case malformed, unsupportedScheme, invalidPercentEncoding, invalidText, unterminatedQuote
            case unknownParameter, duplicateParameter, invalidValue, invalidHost, invalidPort, countMismatch
            case unknownUser, serviceNotFound, invalidServiceFile
        }

        private let kind: Kind

        /// The text follows neither the URI nor the keyword/value syntax.
        public static let malformed = Code(kind: .malformed)
        /// A URI whose scheme is neither `postgresql` nor `postgres`.
        public static let unsupportedScheme = Code(kind: .unsupportedScheme)
        /// A `%` that is not followed by two hexadecimal digits.
        public static let invalidPercentEncoding = Code(kind: .invalidPercentEncoding)
        /// A NUL byte, or bytes that are not UTF-8.
        public static let invalidText = Code(kind: .invalidText)
        /// A quoted value without its closing quote.
        public static let unterminatedQuote = Code(kind: .unterminatedQuote)
        /// A parameter that libpq does not know.
        public static let unknownParameter = Code(kind: .unknownParameter)
        /// A parameter that is given twice.
        public static let duplicateParameter = Code(kind: .duplicateParameter)
        /// A value that its parameter does not take.
        public static let invalidValue = Code(kind: .invalidValue)
        /// A host that is empty within a list, or cannot be a host name, an address or a socket directory.
        public static let invalidHost = Code(kind: .invalidHost)
        /// A port that is not a number from 1 to 65535.
        public static let invalidPort = Code(kind: .invalidPort)
        /// Lists of hosts, addresses and ports whose lengths do not match.
        public static let countMismatch = Code(kind: .countMismatch)
        /// No user was given, and the operating system does not name one.
        public static let unknownUser = Code(kind: .unknownUser)
        /// The service named by `service` or `PGSERVICE` is in no service file.
        public static let serviceNotFound = Code(kind: .serviceNotFound)
        /// A service file that cannot be read or is malformed.
        public static let invalidServiceFile = Code(kind: .invalidServiceFile)

        /// The code's name.
        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public var code: Code
    /// What failed, why, and what to do.
    public var message: String
    /// The parameter at fault, where there is one.
    public var parameter: String?
    /// Where in the connection string, in UTF-8 bytes from 1, where that is known.
    public var position: Int?

    init(_ code: Code, _ message: String, parameter: String? = nil, position: Int? = nil) {
        self.code = code
        self.message = message
        self.parameter = parameter
        self.position = position
    }
}

extension ConnectionStringError: CustomStringConvertible {
    /// The message, and the position if there is one.
    public var description: String {
        guard let position else { return message }
        return "\(message) (at position \(position))"
    }
}

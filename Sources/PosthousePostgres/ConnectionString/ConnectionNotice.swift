// SPDX-License-Identifier: Apache-2.0

/// Something about connection parameters that a person should hear of though nothing failed. Log it once. Never holds
/// a password.
public struct ConnectionNotice: Sendable, Hashable, CustomStringConvertible {
    /// The kinds of notice. More may be added.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String { case ignoredParameters, passwordFileIgnored }

        private let kind: Kind

        /// A connection string was given, so labelled parameters that say whom to connect to are ignored.
        public static let ignoredParameters = Code(kind: .ignoredParameters)
        /// The password file is not a plain file, is open to other users, or cannot be understood.
        public static let passwordFileIgnored = Code(kind: .passwordFileIgnored)

        /// The code's name.
        public var description: String { kind.rawValue }
    }

    /// The kind of notice.
    public var code: Code
    /// What was noticed, and what to do.
    public var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The message.
    public var description: String { message }
}

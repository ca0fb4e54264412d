// SPDX-License-Identifier: Apache-2.0

/// Why Patroni could not be asked, or its answer not be used. Holds no password.
public struct PatroniError: Error, Sendable {
    /// What kind of failure it is.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case invalidURL, unreachable, timedOut, refused, answerTooLarge, malformedAnswer, noMembers
        }

        private var value: Value
        private init(_ value: Value) { self.value = value }

        /// The URL is not one of `http` or `https` with a host.
        public static let invalidURL = Code(.invalidURL)
        /// No connection, or it broke, or TLS did not verify.
        public static let unreachable = Code(.unreachable)
        /// No answer before the deadline.
        public static let timedOut = Code(.timedOut)
        /// Patroni, or what stands before it, answered with another status than 200.
        public static let refused = Code(.refused)
        /// The answer is larger than ``PatroniSource/answerLimit``.
        public static let answerTooLarge = Code(.answerTooLarge)
        /// The answer is not what Patroni says of a cluster.
        public static let malformedAnswer = Code(.malformedAnswer)
        /// The answer names no member that can be reached.
        public static let noMembers = Code(.noMembers)

        /// The code's name.
        public var description: String { value.rawValue }
    }

    /// What kind of failure it is; if several Patronis were asked, that of the last one.
    public var code: Code
    /// What failed and why; of each Patroni that was asked.
    public var message: String

    /// Makes an error.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

extension PatroniError: CustomStringConvertible {
    /// The message.
    public var description: String { message }
}

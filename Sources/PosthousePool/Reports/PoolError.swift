// SPDX-License-Identifier: Apache-2.0

/// Why a pool gave no connection.
public struct PoolError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure; more may be added.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String {
            case timedOut, closed, cancelled, connectFailed, exhausted, unavailable, overloaded, hookFailed
            case invalidConfiguration
        }

        private let kind: Kind

        /// The deadline passed. ``PoolError/snapshot`` and the message tell what the pool was doing.
        public static let timedOut = Code(kind: .timedOut)
        /// The pool was closed or terminated, before the request or while it waited.
        public static let closed = Code(kind: .closed)
        /// The task was cancelled while it waited, or before it would have had to wait.
        public static let cancelled = Code(kind: .cancelled)
        /// Opening the connection that this request asked for failed; ``PoolError/underlying`` tells why.
        public static let connectFailed = Code(kind: .connectFailed)
        /// As many requests as allowed (``PoolGroupConfiguration/maximumWaiters``) already wait.
        public static let exhausted = Code(kind: .exhausted)
        /// Opening connections has failed for longer than ``PoolGroupConfiguration/failFastAfter``, and nothing is open;
        /// ``PoolError/underlying`` is the last failure.
        public static let unavailable = Code(kind: .unavailable)
        /// Requests have been waiting for too long, and this one was not served at once (``OverloadControl``).
        public static let overloaded = Code(kind: .overloaded)
        /// A hook that runs before a connection is handed out threw; ``PoolError/underlying`` is what.
        public static let hookFailed = Code(kind: .hookFailed)
        /// An argument is out of its range.
        public static let invalidConfiguration = Code(kind: .invalidConfiguration)

        /// The code as a word.
        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public let code: Code
    /// What failed, why, and what to do about it.
    public let message: String
    /// The pool when the request failed.
    public let snapshot: PoolSnapshot?
    /// The leases that had lasted the longest when the request timed out, the longest first; at most three.
    public let longestLeases: [LeaseReport]
    /// How long the request had waited.
    public let waited: Duration
    /// The error of the strategy or a hook, where one is the cause; of a timeout, the last failed connect or validation.
    public let underlying: (any Error)?

    init(
        code: Code,
        message: String,
        snapshot: PoolSnapshot? = nil,
        longestLeases: [LeaseReport] = [],
        waited: Duration = .zero,
        underlying: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.snapshot = snapshot
        self.longestLeases = longestLeases
        self.waited = waited
        self.underlying = underlying
    }

    static func invalid(_ message: String) -> PoolError {
        PoolError(code: .invalidConfiguration, message: message)
    }

    /// The code and the message.
    public var description: String { "\(code): \(message)" }
}

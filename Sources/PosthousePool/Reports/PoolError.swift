// SPDX-License-Identifier: Apache-2.0

/// Why a pool gave no connection.
public struct PoolError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure; more may be added.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String {
            case timedOut, closed, cancelled, connectFailed, exhausted, invalidConfiguration, notInitialized, insideTask
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
        /// An argument is out of its range.
        public static let invalidConfiguration = Code(kind: .invalidConfiguration)
        /// There is no shared pool: `initialize` was not called, or the shared pool was closed.
        public static let notInitialized = Code(kind: .notInitialized)
        /// A call that blocks its thread was made where a task is running, whose thread must not be blocked.
        public static let insideTask = Code(kind: .insideTask)

        /// The code as a word.
        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public let code: Code
    /// What failed, why, and what to do about it.
    public let message: String
    /// The pool when the request failed.
    public let snapshot: PoolSnapshot?
    /// How long the request had waited.
    public let waited: Duration
    /// The error of the strategy, where one is the cause.
    public let underlying: (any Error)?

    package init(
        code: Code,
        message: String,
        snapshot: PoolSnapshot? = nil,
        waited: Duration = .zero,
        underlying: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.snapshot = snapshot
        self.waited = waited
        self.underlying = underlying
    }

    package static func invalid(_ message: String) -> PoolError {
        PoolError(code: .invalidConfiguration, message: message)
    }

    /// The code and the message.
    public var description: String { "\(code): \(message)" }
}

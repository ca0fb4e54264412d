// SPDX-License-Identifier: Apache-2.0

/// Why a pool gave no connection.
public struct PoolError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure; more may be added.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Kind: String {
            case timedOut, closed, cancelled, connectFailed, exhausted, unavailable, overloaded, hookFailed
            case invalidConfiguration, notInitialized, insideTask
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
        /// There is no shared pool: `initialize` was not called, or the shared pool was closed.
        public static let notInitialized = Code(kind: .notInitialized)
        /// A call that blocks its thread was made where a task is running, whose thread must not be blocked.
        public static let insideTask = Code(kind: .insideTask)

        /// The code as a word.
        public var description: String { kind.rawValue }
    }

    /// The kind of failure.
    public var code: Code { details.code }
    /// What failed, why, and what to do about it.
    public var message: String { details.message }
    /// The pool when the request failed.
    public var snapshot: PoolSnapshot? { details.snapshot }
    /// The leases that had lasted the longest when the request timed out, the longest first; at most three.
    public var longestLeases: [LeaseReport] { details.longestLeases }
    /// How long the request had waited.
    public var waited: Duration { details.waited }
    /// The error of the strategy or a hook, where one is the cause; of a timeout, the last failed connect or validation.
    public var underlying: (any Error)? { details.underlying }

    /// Apart: they have a clock's instants among them, whose size is known at run time only, and whoever may throw them would
    /// make room for them beforehand, each time.
    private let details: Details

    private final class Details: Sendable {
        let code: Code
        let message: String
        let snapshot: PoolSnapshot?
        let longestLeases: [LeaseReport]
        let waited: Duration
        let underlying: (any Error)?

        init(
            code: Code,
            message: String,
            snapshot: PoolSnapshot?,
            longestLeases: [LeaseReport],
            waited: Duration,
            underlying: (any Error)?
        ) {
            self.code = code
            self.message = message
            self.snapshot = snapshot
            self.longestLeases = longestLeases
            self.waited = waited
            self.underlying = underlying
        }
    }

    @inline(never)
    package init(
        code: Code,
        message: String,
        snapshot: PoolSnapshot? = nil,
        longestLeases: [LeaseReport] = [],
        waited: Duration = .zero,
        underlying: (any Error)? = nil
    ) {
        details = Details(
            code: code,
            message: message,
            snapshot: snapshot,
            longestLeases: longestLeases,
            waited: waited,
            underlying: underlying
        )
    }

    package static func invalid(_ message: String) -> PoolError {
        PoolError(code: .invalidConfiguration, message: message)
    }

    /// The code and the message.
    public var description: String { "\(code): \(message)" }
}

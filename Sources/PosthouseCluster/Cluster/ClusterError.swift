// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// Why the cluster could not give a connection, and what it knows of each host.
public struct ClusterError: Error, Sendable {
    /// What kind of failure it is.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case noPrimary, noReplica, noHostReachable, acquireTimedOut, connectFailed, notReady, cancelled, closed
            case exhausted, overloaded, invalidArgument, foreignToken, tokenNotReached, unknownHost, duplicateHost,
                lastHost, writesPaused
            case writesStillRunning
        }

        private var value: Value
        private init(_ value: Value) { self.value = value }

        /// No host accepted writes before the deadline, though some host answers.
        public static let noPrimary = Code(.noPrimary)
        /// No replica (nor, with fallback, a primary) could be used before the deadline, though some host answers.
        public static let noReplica = Code(.noReplica)
        /// No host answered before the deadline.
        public static let noHostReachable = Code(.noHostReachable)
        /// The role is there, but no connection became free before the deadline.
        public static let acquireTimedOut = Code(.acquireTimedOut)
        /// The role is there, but connecting to its hosts kept failing.
        public static let connectFailed = Code(.connectFailed)
        /// As many requests as allowed (``ClusterConfiguration/maximumWaiters``) wait already.
        public static let exhausted = Code(.exhausted)
        /// Requests have been waiting for too long, and this one was refused (``ClusterConfiguration/overload``).
        public static let overloaded = Code(.overloaded)
        /// The hosts asked for were not ready before the deadline.
        public static let notReady = Code(.notReady)
        /// The task was cancelled while it waited.
        public static let cancelled = Code(.cancelled)
        /// The cluster is closed.
        public static let closed = Code(.closed)
        /// Writes are held back (``Cluster/pauseWrites(timeout:_:)``) and did not go on before the deadline.
        public static let writesPaused = Code(.writesPaused)
        /// Writes were to be held back, but some were still running at the deadline.
        public static let writesStillRunning = Code(.writesStillRunning)
        /// An argument or a configuration value makes no sense.
        public static let invalidArgument = Code(.invalidArgument)
        /// The token is of another cluster.
        public static let foreignToken = Code(.foreignToken)
        /// No server was found in time that has what the token stands for.
        public static let tokenNotReached = Code(.tokenNotReached)
        /// The host does not belong to the cluster.
        public static let unknownHost = Code(.unknownHost)
        /// The host belongs to the cluster already.
        public static let duplicateHost = Code(.duplicateHost)
        /// The only host cannot be removed.
        public static let lastHost = Code(.lastHost)

        /// The code's name.
        public var description: String { value.rawValue }
    }

    /// What is known of one host.
    public struct HostReason: Sendable, Hashable {
        /// "host:port".
        public var host: String
        /// Whether it can be used.
        public var state: HostState
        /// What it is.
        public var role: HostRole
        /// Why, in words; never a password.
        public var reason: String?
    }

    /// What kind of failure it is.
    public var code: Code
    /// What failed and what to do about it.
    public var message: String
    /// Every host and its reason.
    public var hosts: [HostReason]
    /// The pool's side of it, if it got that far.
    public var pool: PoolError?

    /// Makes an error.
    public init(_ code: Code, message: String, hosts: [HostReason] = [], pool: PoolError? = nil) {
        self.code = code
        self.message = message
        self.hosts = hosts
        self.pool = pool
    }
}

extension ClusterError: CustomStringConvertible {
    /// The message, then every host with its state and reason.
    public var description: String {
        guard !hosts.isEmpty else { return message }
        let list = hosts.map { host in
            let what =
                host.state == .up ? host.role.rawValue : host.state.rawValue
            return host.reason.map { "\(host.host): \(what), \($0)" } ?? "\(host.host): \(what)"
        }
        return "\(message) (\(list.joined(separator: "; ")))"
    }
}

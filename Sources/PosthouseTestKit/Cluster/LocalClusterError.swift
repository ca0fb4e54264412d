// SPDX-License-Identifier: Apache-2.0

/// What went wrong in a local cluster: a code to switch over, a message for people, and the end of the server's log.
public struct LocalClusterError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. New codes may be added, so a `switch` over them needs a `default`.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Value: String {
            case installationNotFound, invalidConfiguration, noFreePort, fileSystem, commandFailed, startFailed
            case timedOut, notRunning, notAReplica, noSuchNode, queryFailed, connectionFailed, alreadyExists
            case notACluster, recordUnreadable, cleanUpFailed, cancelled, unsupportedPlatform
        }
        private let value: Value

        /// No usable PostgreSQL server programs were found.
        public static let installationNotFound = Code(value: .installationNotFound)
        /// A configuration that cannot work, for example a negative number of replicas.
        public static let invalidConfiguration = Code(value: .invalidConfiguration)
        /// No loopback port could be reserved, or the one that was asked for is in use.
        public static let noFreePort = Code(value: .noFreePort)
        /// A file or folder could not be made, read or removed.
        public static let fileSystem = Code(value: .fileSystem)
        /// A program such as `initdb` failed.
        public static let commandFailed = Code(value: .commandFailed)
        /// A server ended before it was ready.
        public static let startFailed = Code(value: .startFailed)
        /// The deadline of a wait passed.
        public static let timedOut = Code(value: .timedOut)
        /// The operation needs a running server.
        public static let notRunning = Code(value: .notRunning)
        /// The operation needs a replica, and the node is a primary.
        public static let notAReplica = Code(value: .notAReplica)
        /// No node has that name.
        public static let noSuchNode = Code(value: .noSuchNode)
        /// The server refused a statement; see ``LocalClusterError/sqlState``.
        public static let queryFailed = Code(value: .queryFailed)
        /// No session to the server could be had, or it ended in the middle of a statement.
        public static let connectionFailed = Code(value: .connectionFailed)
        /// There is something in the directory already.
        public static let alreadyExists = Code(value: .alreadyExists)
        /// The directory holds no cluster.
        public static let notACluster = Code(value: .notACluster)
        /// The record of the cluster in the directory cannot be understood.
        public static let recordUnreadable = Code(value: .recordUnreadable)
        /// Processes or files of the cluster could not be removed.
        public static let cleanUpFailed = Code(value: .cleanUpFailed)
        /// The task was cancelled while it waited.
        public static let cancelled = Code(value: .cancelled)
        /// The test kit runs on Linux.
        public static let unsupportedPlatform = Code(value: .unsupportedPlatform)

        /// The code's name, as in this documentation.
        public var description: String { self.value.rawValue }
    }

    /// The kind of failure.
    public var code: Code
    /// What failed and why, in one sentence or two.
    public var message: String
    /// The node that it is about, if it is about one.
    public var node: String?
    /// The server's SQLSTATE, for ``Code/queryFailed`` and for a login that the server refused.
    public var sqlState: String?
    /// The last lines of the log of the server or program that failed, if there are any.
    public var log: String?

    init(_ code: Code, _ message: String, node: String? = nil, sqlState: String? = nil, log: String? = nil) {
        self.code = code
        self.message = message
        self.node = node
        self.sqlState = sqlState
        self.log = log
    }

    /// Everything, the log included, so that a failed test shows it.
    public var description: String {
        var text = "\(self.code)"
        if let node { text += " (\(node))" }
        text += ": \(self.message)"
        if let sqlState { text += " [SQLSTATE \(sqlState)]" }
        if let log, !log.isEmpty { text += "\n--- log ---\n\(log)" }
        return text
    }
}

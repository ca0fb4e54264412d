// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A real PostgreSQL cluster on this machine, for one test: a primary and its streaming replicas.
///
/// ```swift
/// import PosthouseTestKit
/// import Testing
///
/// @Test func writesGoOnAfterAFailover() async throws {
///     try await LocalCluster.withCluster(.init(replicas: 2)) { cluster in
///         // ... connect to cluster.dsn() ...
///         try await cluster.primary.kill()
///         try await cluster.failOver(to: cluster.nodes[1])
///         // ... the application writes again ...
///     }
/// }
/// ```
///
/// The servers run from the programs that are installed (``PostgresInstallation``) in a temporary folder, on free
/// loopback ports; as root, they run as `postgres` or `nobody`. They are as fast as they can be, which means that
/// nothing reaches the disk on purpose. All logins from this machine are trusted, the superuser is `postgres`.
///
/// Nothing is left over, neither processes nor files, whether the test ends well, fails, is interrupted with Ctrl-C or
/// its process is killed: a watchdog process waits for the end of this one and clears up. It is enough to let go of the
/// cluster; ``shutdown()`` waits until everything is gone.
public final class LocalCluster: Sendable {
    /// All nodes, in the order of their names. The first was the primary when the cluster started.
    public let nodes: [LocalNode]
    let layout: ClusterLayout
    /// Nil in a cluster that outlives this process.
    let watchdog: Watchdog?
    /// Nil in a throwaway cluster.
    let directory: ClusterDirectory?
    let primaryName: Mutex<String>

    init(
        nodes: [LocalNode],
        layout: ClusterLayout,
        watchdog: Watchdog?,
        directory: ClusterDirectory?,
        primaryName: String
    ) {
        self.nodes = nodes
        self.layout = layout
        self.watchdog = watchdog
        self.directory = directory
        self.primaryName = Mutex(primaryName)
    }

    /// The node that was promoted last through this kit, or the first one. It is not asked, and may be down.
    public var primary: LocalNode {
        let name = self.primaryName.withLock { $0 }
        return self.nodes.first { $0.name == name } ?? self.nodes[0]
    }

    /// All nodes but the ``primary``.
    public var replicas: [LocalNode] {
        let primary = self.primary
        return self.nodes.filter { $0 !== primary }
    }

    /// The node of that name.
    ///
    /// - Throws: ``LocalClusterError/Code/noSuchNode``.
    public func node(_ name: String) throws(LocalClusterError) -> LocalNode {
        if let node = self.nodes.first(where: { $0.name == name }) { return node }
        let names = self.nodes.map(\.name).joined(separator: ", ")
        throw LocalClusterError(.noSuchNode, "There is no node \(name); there are \(names).")
    }

    /// A connection string that names all nodes, in the order of ``nodes``.
    ///
    /// - Parameters:
    ///   - user: The role to log in as. Default: the superuser.
    ///   - database: The database. Default: `postgres`.
    ///   - password: The password, if one is asked for. Default: none.
    ///   - parameters: More parameters of libpq, for example `["target_session_attrs": "read-write"]`. Default: none.
    public func dsn(
        user: String = "postgres",
        database: String = "postgres",
        password: String? = nil,
        parameters: [String: String] = [:]
    ) -> String {
        ConnectionURI(
            ports: self.nodes.map(\.port),
            user: user,
            database: database,
            password: password,
            parameters: parameters
        ).text
    }

    /// The folder of everything that belongs to the cluster.
    public var folder: String { self.layout.folder }

    /// The certificate to trust (`sslrootcert`) in a cluster with TLS; nil without.
    public var rootCertificate: String? { self.layout.tls ? self.layout.certificateFile : nil }

    /// The last lines of the logs of all nodes, for the report of a test that failed.
    public func logs(lines: Int = 40) -> String {
        self.nodes.map { "--- \($0.name), port \($0.port) ---\n\($0.logTail(lines: lines))" }.joined(separator: "\n")
    }

    /// Promotes a node, waits until it takes writes, and makes all other replicas follow it. A former primary is not
    /// touched, so that it may come back as it was; ``LocalNode/rejoin(following:within:)`` makes it a replica.
    public func failOver(to node: LocalNode, within limit: Duration = .seconds(120)) async throws(LocalClusterError) {
        try await node.promote(within: limit)
        try await self.repoint(to: node)
    }

    /// Makes all replicas follow a node, those that are down when they start again. From now on it is the ``primary``.
    public func repoint(to node: LocalNode) async throws(LocalClusterError) {
        self.primaryName.withLock { $0 = node.name }
        try self.record()
        for other in self.nodes where other !== node && other.role == .replica {
            try await other.follow(node)
        }
    }

    /// Waits until every replica that is up has replayed what the primary has written by now.
    public func waitUntilCaughtUp(within limit: Duration = .seconds(120)) async throws(LocalClusterError) {
        let primary = self.primary
        for node in self.nodes where node !== primary && node.role == .replica {
            guard try await node.status().state == .up else { continue }
            try await node.waitUntilCaughtUp(with: primary, within: limit)
        }
    }

    /// Ends the cluster: kills its processes, removes its files, and waits until that is done. Doing it again does
    /// nothing, and neither does cancelling the task.
    ///
    /// - Throws: ``LocalClusterError/Code/cleanUpFailed``.
    public func shutdown() async throws(LocalClusterError) {
        if let watchdog {
            try await offCooperativePool { () throws(LocalClusterError) in try watchdog.cleanUp() }
        }
        if let directory { try await self.remove(directory) }
        for node in self.nodes { node.server.reap() }
    }
}

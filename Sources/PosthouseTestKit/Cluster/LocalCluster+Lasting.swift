// SPDX-License-Identifier: Apache-2.0

internal import CTestKit
import Synchronization

extension LocalCluster {
    /// Starts a cluster in a directory which goes on when this process ends, for development: `posthouse cluster up`.
    ///
    /// The directory is made if it does not exist. The servers' files lie in it, or in the temporary directory if the
    /// user whom the servers run as cannot go there (as root in `/root`). ``shutdown()`` removes everything again. As
    /// long as the returned cluster lives, no other process can open it to change it.
    ///
    /// - Throws: ``LocalClusterError/Code/alreadyExists`` if there is a cluster; nothing is left over after an error.
    public static func create(
        at directory: String,
        _ configuration: Configuration = Configuration()
    ) async throws(LocalClusterError) -> LocalCluster {
        try configuration.check()
        let user = try ServerUser.current()
        let place = try await self.makePlace(directory)
        let watchdog: Watchdog
        do throws(LocalClusterError) {
            guard !Files.exists(ClusterRecord.path(in: place.path)) else {
                throw LocalClusterError(.alreadyExists, "There is a cluster in \(place.path) already.")
            }
            watchdog = try await offCooperativePool { () throws(LocalClusterError) in
                guard testkit_can_enter(place.path, user.uid, user.gid) == 1 else {
                    return try Watchdog.inTemporaryFolder(prefix: "posthouse", user: user)
                }
                return try Watchdog(folder: "\(place.path)/data", user: user)
            }
        } catch {
            for directory in place.made.reversed() { _ = Files.removeEmptyFolder(directory) }
            throw error
        }
        // Until the cluster runs and is written down, it ends with this process.
        do throws(LocalClusterError) {
            let layout = try configuration.layout(in: watchdog.folder, user: user)
            let cluster = LocalCluster(
                nodes: try configuration.nodes(layout: layout),
                layout: layout,
                watchdog: nil,
                directory: place,
                primaryName: "node1"
            )
            try await cluster.build(configuration, sharing: false)
            try cluster.record()
            watchdog.disarm()
            return cluster
        } catch {
            try? await offCooperativePool { () throws(LocalClusterError) in try watchdog.cleanUp() }
            try? place.remove()
            throw error
        }
    }

    /// A cluster that ``create(at:_:)`` made, by this process or another.
    ///
    /// - Parameters:
    ///   - directory: Where.
    ///   - exclusively: Whether to change it: then no other process can until the cluster is let go of. Default: true.
    ///   - limit: How long to wait for another process that works on it. Default: 180 s.
    /// - Throws: ``LocalClusterError/Code/notACluster``, ``LocalClusterError/Code/recordUnreadable``,
    ///   ``LocalClusterError/Code/timedOut``.
    public static func open(
        at directory: String,
        exclusively: Bool = true,
        within limit: Duration = .seconds(180)
    ) async throws(LocalClusterError) -> LocalCluster {
        guard let path = Files.resolved(directory) else {
            throw LocalClusterError(.notACluster, "There is no cluster in \(directory).")
        }
        var lock: DirectoryLock?
        if exclusively {
            lock = try await DirectoryLock.take(path, within: limit)
            guard lock != nil else {
                throw LocalClusterError(.notACluster, "There is no cluster in \(directory).")
            }
        }
        let record = try ClusterRecord.read(from: path)
        let layout = ClusterLayout(
            folder: record.folder,
            installation: PostgresInstallation(recorded: record.binaries),
            user: try ServerUser.recorded(record),
            settings: record.settings,
            hostBasedAuthentication: record.hostBasedAuthentication,
            tls: record.tls,
            durable: record.durable
        )
        let nodes = record.nodes.map {
            LocalNode(name: $0.name, port: $0.port, reservation: nil, layout: layout)
        }
        return LocalCluster(
            nodes: nodes,
            layout: layout,
            watchdog: nil,
            directory: ClusterDirectory(path: path, made: record.directories, lock: lock),
            primaryName: record.primary
        )
    }

    /// Whether the files of all nodes are there. They may not be, for example when they were in the temporary
    /// directory and the machine was started anew; ``shutdown()`` then removes the rest.
    public var isIntact: Bool {
        self.nodes.allSatisfy { Files.exists("\($0.dataDirectory)/PG_VERSION") }
    }

    /// Makes the cluster whole: starts the nodes that are down, resumes those that are paused, and makes a former
    /// primary a replica of the current one. Does nothing to a node that is as it should be.
    public func heal(within limit: Duration = .seconds(180)) async throws(LocalClusterError) {
        let deadline = ContinuousClock.now + limit
        var left: Duration { ContinuousClock.now.duration(to: deadline) }
        let primary = self.primary
        for node in self.nodes { try await node.resume() }
        try await primary.start(within: left)
        for node in self.nodes where node !== primary {
            if node.role == .primary {
                try await node.rejoin(following: primary, within: left)
            } else {
                try await node.follow(primary)
                try await node.start(within: left)
            }
        }
        for node in self.replicas { try await node.waitUntilStreaming(from: primary, within: left) }
    }

    /// Makes the directory and all that lead to it, and takes its lock.
    private static func makePlace(_ directory: String) async throws(LocalClusterError) -> ClusterDirectory {
        var made: [String] = []
        do throws(LocalClusterError) {
            while true {
                for folder in Files.pathsTo(directory) where try Files.makeFolderIfMissing(folder) {
                    made.append(Files.resolved(folder) ?? folder)
                }
                guard let path = Files.resolved(directory) else { continue }
                // Between both, a cluster that was there may have been removed with its directory.
                guard let lock = try await DirectoryLock.take(path, within: .seconds(60)) else { continue }
                return ClusterDirectory(path: path, made: made, lock: lock)
            }
        } catch {
            for folder in made.reversed() { _ = Files.removeEmptyFolder(folder) }
            throw error
        }
    }

    /// Writes a lasting cluster down.
    func record() throws(LocalClusterError) {
        guard let directory else { return }
        try ClusterRecord(
            folder: self.layout.folder,
            user: self.layout.user.change?.user ?? ServerUser.callerUser,
            group: self.layout.user.change?.group ?? ServerUser.callerGroup,
            directories: directory.made,
            binaries: self.layout.installation.binaryDirectory,
            nodes: self.nodes.map { ClusterRecord.Node(name: $0.name, port: $0.port) },
            primary: self.primaryName.withLock { $0 },
            settings: self.layout.settings,
            hostBasedAuthentication: self.layout.hostBasedAuthentication,
            tls: self.layout.tls,
            durable: self.layout.durable
        ).write(to: directory.path)
    }

    /// Ends a lasting cluster.
    func remove(_ directory: ClusterDirectory) async throws(LocalClusterError) {
        let folder = ProcessFolder(path: self.layout.folder, user: self.layout.user)
        try await offCooperativePool { () throws(LocalClusterError) in
            try folder.kill()
            try Files.remove(folder.path)
            try directory.remove()
        }
    }
}

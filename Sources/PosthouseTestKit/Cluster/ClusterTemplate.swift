// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A data directory fresh from `initdb`, made once per process and installation, from which clusters are copied.
///
/// It has a watchdog of its own and so ends with the process, however that ends.
final class ClusterTemplate: Sendable {
    let dataDirectory: String
    /// Nil if copies cannot be given an identity of their own, and each cluster needs its own `initdb`.
    let checksumOffset: Int?
    private let watchdog: Watchdog

    private static let made = Mutex<[PostgresInstallation: Task<ClusterTemplate, any Error>]>([:])

    static func shared(
        _ installation: PostgresInstallation,
        user: ServerUser,
        within limit: Duration
    ) async throws(LocalClusterError) -> ClusterTemplate {
        let task = self.made.withLock { made in
            if let task = made[installation] { return task }
            // Not a child of the task that happens to be the first: others wait too.
            let task = Task.detached { try await ClusterTemplate(installation, user: user, within: limit) }
            made[installation] = task
            return task
        }
        do {
            return try await task.value
        } catch {
            // The next cluster tries again.
            self.made.withLock { if $0[installation] == task { $0[installation] = nil } }
            throw error as? LocalClusterError ?? LocalClusterError(.cancelled, "\(error)")
        }
    }

    private init(
        _ installation: PostgresInstallation,
        user: ServerUser,
        within limit: Duration
    ) async throws(LocalClusterError) {
        self.watchdog = try await offCooperativePool { () throws(LocalClusterError) in
            try Watchdog.inTemporaryFolder(prefix: "posthouse-template", user: user)
        }
        self.dataDirectory = "\(self.watchdog.folder)/data"
        try await installation.initializeCluster(
            self.dataDirectory,
            in: self.watchdog.folder,
            user: user,
            within: limit
        )
        self.checksumOffset = SystemIdentifier.checksumOffset(in: self.dataDirectory)
    }
}

extension PostgresInstallation {
    /// Runs `initdb`.
    func initializeCluster(
        _ dataDirectory: String,
        in folder: String,
        user: ServerUser,
        within limit: Duration
    ) async throws(LocalClusterError) {
        try await ChildProcess(
            path: self.path(of: "initdb"),
            arguments: [
                "-D", dataDirectory, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync",
            ],
            directory: folder,
            output: "\(folder)/initdb.log",
            user: user
        ).run(within: limit)
    }
}

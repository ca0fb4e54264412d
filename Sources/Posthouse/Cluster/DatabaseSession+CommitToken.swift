// SPDX-License-Identifier: Apache-2.0

public import PosthouseCluster
public import PosthousePostgres

extension DatabaseSession {
    /// A token for everything that was committed on this server so far, by this session or others, for
    /// ``PosthouseCluster/Cluster/read(after:maximumWait:fallbackPrimary:timeout:fileID:line:_:)``.
    ///
    /// One round trip. On a replica: for everything that it has shown, so that the next read, elsewhere, shows no less.
    ///
    /// - Parameter timeout: How long it may take; nil (the default) means the session's timeout.
    /// - Throws: ``DatabaseError``; ``DatabaseError/Code/invalidStatement`` within a transaction, whose COMMIT comes later.
    public func commitToken(timeout: Duration? = nil) async throws(DatabaseError) -> CommitToken {
        let position = try await logPosition(timeout: timeout)
        return CommitToken(
            systemIdentifier: position.systemIdentifier,
            timeline: position.timeline,
            position: position.lsn
        )
    }
}

extension Cluster where Driver == LibPQDriver {
    /// A token for everything that was committed on the primary so far; see ``DatabaseSession/commitToken(timeout:)``. Asked
    /// on the session that wrote, it costs no second lease.
    ///
    /// - Parameter timeout: The most to wait for a connection. Default: the configuration's `acquireTimeout`.
    /// - Throws: ``ClusterError`` or ``DatabaseError``.
    public func commitToken(timeout: Duration? = nil) async throws -> CommitToken {
        try await write(timeout: timeout) { db in try await db.commitToken() }
    }
}

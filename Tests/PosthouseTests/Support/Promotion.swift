// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit
import Testing

/// What whoever promotes a replica has to see to.
extension LocalNode {
    /// Of replicas whose primary is gone, the one that has received the most, as failover managers choose it: all others
    /// can follow it.
    static func foremost(of replicas: [LocalNode]) async throws -> LocalNode {
        var best: (node: LocalNode, position: Int)?
        for node in replicas {
            // It may still be reading what the primary had sent.
            try await eventually("\(node.name) receives nothing more") {
                try await node.value(of: "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "0"
            }
            let received = try await node.value(of: "SELECT pg_last_wal_receive_lsn() - '0/0'")
            let position = received.flatMap { Int($0) } ?? 0
            if position > best?.position ?? -1 { best = (node, position) }
        }
        return try #require(best).node
    }

    /// Lets commits on this node wait for other nodes, and for nobody else.
    func waitOnCommit(for standbys: [LocalNode]) async throws {
        let names = standbys.isEmpty ? "" : "\(standbys.count) (\(standbys.map(\.name).joined(separator: ", ")))"
        try await query("ALTER SYSTEM SET synchronous_standby_names = '\(names)'")
        try await reload()
        try await eventually("\(name) knows whom to wait for") {
            try await value(of: "SHOW synchronous_standby_names") == names
        }
    }
}

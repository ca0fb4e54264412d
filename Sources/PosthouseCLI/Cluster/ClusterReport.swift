// SPDX-License-Identifier: Apache-2.0
import PosthouseTestKit

/// The nodes of a local cluster, as they are at a moment.
struct ClusterReport: Sendable {
    struct Node: Sendable {
        var name: String
        var port: Int
        var status: LocalNode.Status
    }

    var nodes: [Node] = []
    /// Nil if there is no cluster.
    var dsn: String?

    /// What `down` leaves.
    init() {}

    init(_ cluster: LocalCluster) async throws(LocalClusterError) {
        for node in cluster.nodes {
            nodes.append(Node(name: node.name, port: node.port, status: try await node.status()))
        }
        dsn = cluster.dsn()
    }

    var json: JSONValue {
        .document([
            "nodes": .array(
                nodes.map { node in
                    [
                        "name": .string(node.name),
                        "port": .integer(Int64(node.port)),
                        "role": .string(node.status.role.rawValue),
                        "state": .string(node.status.state.rawValue),
                        "pid": node.status.pid.map { .integer(Int64($0)) } ?? .null,
                    ]
                }
            ),
            "dsn": .optional(dsn),
        ])
    }

    var table: TextTable {
        var table = TextTable("NODE", "PORT", "ROLE", "STATE", "PID")
        for node in nodes {
            table.append(
                node.name,
                String(node.port),
                node.status.role.rawValue,
                node.status.state.rawValue,
                node.status.pid.map(String.init) ?? "-"
            )
        }
        return table
    }
}

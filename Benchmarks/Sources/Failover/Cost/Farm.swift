// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit

/// So many hosts as one machine can pretend to have: beyond sixteen servers, replicas are reached by several addresses.
struct Farm {
    var hosts: Int

    private static let mostReplicas = 15

    var configuration: LocalCluster.Configuration {
        LocalCluster.Configuration(
            replicas: min(hosts - 1, Self.mostReplicas),
            settings: [
                "listen_addresses": "*", "max_connections": "60", "shared_buffers": "4MB",
                // The servers' statistics do not count statements that touch no table; their logs do.
                "log_statement": "all",
            ],
            hostBasedAuthentication: ["host all all 127.0.0.0/8 trust"],
            startTimeout: .seconds(300)
        )
    }

    func dsn(of servers: LocalCluster) -> String {
        let replicas = servers.replicas.map(\.port)
        let addresses =
            ["127.0.0.1:\(servers.primary.port)"]
            + (0..<hosts - 1).map { "127.0.0.\(1 + $0 / replicas.count):\(replicas[$0 % replicas.count])" }
        return "postgresql://postgres@\(addresses.joined(separator: ","))/postgres"
    }
}

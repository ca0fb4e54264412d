// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit

/// A primary and two replicas that many tests use and none harms. They end with the process.
enum SharedServers {
    private static let start = Task {
        try await LocalCluster.start(.init(replicas: 2, setUp: [Application.table]))
    }

    static func get() async throws -> LocalCluster {
        try await start.value
    }
}

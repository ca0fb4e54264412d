// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit

/// A primary and two replicas that many tests use and none harms. They end with the process.
enum SharedServers {
    private static let start = Task {
        // A server looks whether its client is gone only if it is told to, as long as a statement runs.
        let settings = ["client_connection_check_interval": "100ms"]
        return try await LocalCluster.start(.init(replicas: 2, settings: settings, setUp: [Application.table]))
    }

    static func get() async throws -> LocalCluster {
        try await start.value
    }
}

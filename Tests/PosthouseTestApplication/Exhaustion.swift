// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse

/// An application that has used up its file descriptors.
struct Exhaustion {
    var dsn: String

    func run() async throws {
        // No server is silent here: slow answers are answers.
        let configuration = ClusterConfiguration(acquireTimeout: .seconds(120), refreshTimeout: .seconds(5))
        let cluster = try PostgresCluster(dsn, configuration: configuration)
        let events = cluster.events
        try await cluster.ready(timeout: .seconds(120))
        _ = try await cluster.write { try await $0.query("SELECT 1") }
        _ = try await cluster.read { try await $0.query("SELECT 1") }

        var limit = rlimit(rlim_cur: 256, rlim_max: 256)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        var taken: [Int32] = []
        while true {
            let descriptor = dup(STDERR_FILENO)
            guard descriptor >= 0 else { break }
            taken.append(descriptor)
        }
        report("exhausted")
        _ = readLine()
        for descriptor in taken { close(descriptor) }
        // Whatever was wrong was wrong with us: all is well again.
        _ = try await cluster.write(timeout: .seconds(120)) { try await $0.query("SELECT 1") }
        _ = try await cluster.read(timeout: .seconds(120)) { try await $0.query("SELECT 1") }
        await cluster.close()
        await printVerdicts(in: events)
    }
}

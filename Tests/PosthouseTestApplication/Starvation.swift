// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import Synchronization

/// An application whose tasks block every thread they can get, on a machine whose cores are busy.
struct Starvation {
    var dsn: String
    var rounds: Int

    func run(for seconds: Double) async throws {
        // No server is silent here: slow answers are answers.
        let configuration = ClusterConfiguration(acquireTimeout: .seconds(120), refreshTimeout: .seconds(5))
        let cluster = try PostgresCluster(dsn, configuration: configuration)
        let events = cluster.events
        try await cluster.ready(timeout: .seconds(120))
        let load = (0..<4).map { _ in
            Task { while !Task.isCancelled { _ = try? await cluster.withAnyHost { try await $0.query("SELECT 1") } } }
        }
        try await Task.sleep(for: .milliseconds(300))
        for round in 1...rounds {
            report("starving, round \(round)")
            await starve(cluster, until: Date(timeIntervalSinceNow: seconds))
        }
        for task in load { task.cancel() }
        // What the monitors were told late would show now.
        try await Task.sleep(for: .seconds(1))
        await cluster.close()
        await printVerdicts(in: events)
    }

    private func starve(_ cluster: PostgresCluster, until end: Date) async {
        let answers = Answers(of: cluster)
        let cores = ProcessInfo.processInfo.activeProcessorCount
        for _ in 0..<cores { Thread.detachNewThread { while Date() < end {} } }
        Thread.detachNewThread { answers.watch(until: end) }
        await withTaskGroup { group in
            for _ in 0..<4 * cores {
                group.addTask { Self.block(until: end) }
            }
        }
        report("answers", answers.counts)
    }

    /// What a task must never do, and some do.
    private static func block(until end: Date) {
        Thread.sleep(until: end)
    }
}

/// How often each host answered its monitor, seen from a thread that nobody blocks.
private final class Answers: Sendable {
    private let cluster: PostgresCluster
    private let seen: Mutex<[Set<ContinuousClock.Instant>]>

    init(of cluster: PostgresCluster) {
        self.cluster = cluster
        seen = Mutex(cluster.snapshot().hosts.map { _ in [] })
    }

    func watch(until end: Date) {
        while Date() < end {
            let hosts = cluster.snapshot().hosts
            seen.withLock { seen in
                for (index, host) in hosts.enumerated() {
                    if let at = host.answeredAt { seen[index].insert(at) }
                }
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    var counts: [Int] { seen.withLock { $0.map(\.count) } }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse

/// What a cluster costs while nobody uses it.
struct Idleness {
    var dsn: String
    var connections: Int

    func run(for time: Duration) async throws {
        var configuration = ClusterConfiguration(acquireTimeout: .seconds(60))
        configuration.pool.maximumSize = connections
        let cluster = try PostgresCluster(dsn, configuration: configuration)
        try await cluster.ready(timeout: .seconds(120))
        try await warmUp(cluster)
        // The hunt for the first primary and the connects are over.
        try await Task.sleep(for: .seconds(1))
        let before = ProcessTime.now
        try await Task.sleep(for: time)
        let used = ProcessTime.now - before
        let open = cluster.snapshot().hosts.map(\.pool.size)
        report("idle connections=\(open) resident_kb=\(Self.residentKilobytes) cpu_percent=\(used / time * 100)")
        await cluster.close()
    }

    /// Opens all connections of all hosts, by taking them all at once.
    private func warmUp(_ cluster: PostgresCluster) async throws {
        let replicas = cluster.snapshot().replicas.count
        try await withThrowingTaskGroup { group in
            let gate = Gate(count: connections * (1 + replicas))
            for number in 0..<connections * (1 + replicas) {
                group.addTask {
                    if number < connections {
                        try await cluster.write { _ in await gate.pass() }
                    } else {
                        try await cluster.read { _ in await gate.pass() }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private static var residentKilobytes: Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
    }
}

/// Opens when so many have come.
private actor Gate {
    private var missing: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(count: Int) {
        missing = count
    }

    func pass() async {
        missing -= 1
        if missing > 0 {
            await withCheckedContinuation { waiting.append($0) }
        } else {
            for continuation in waiting { continuation.resume() }
            waiting = []
        }
    }
}

/// Processor time of this process.
enum ProcessTime {
    static var now: Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}

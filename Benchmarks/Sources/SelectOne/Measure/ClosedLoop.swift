// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit

/// Clients who each do one operation after the other, as fast as they are served.
struct ClosedLoop: Sendable {
    var clients: Int
    /// The clients' tasks run on these in turn; on the default executor if there are none.
    var executors: [any TaskExecutor]

    func run(
        seconds: Double,
        operation: @escaping @Sendable (_ client: Int) async throws -> Void
    ) async throws -> Measurement {
        let start = monotonicNanoseconds()
        let end = start + UInt64(seconds * 1_000_000_000)
        let latencies = try await withThrowingTaskGroup(of: [UInt32].self) { group in
            for client in 0..<clients {
                group.addTask(executorPreference: executors.isEmpty ? nil : executors[client % executors.count]) {
                    var latencies: [UInt32] = []
                    latencies.reserveCapacity(1 << 16)
                    var began = monotonicNanoseconds()
                    while began < end {
                        try await operation(client)
                        let now = monotonicNanoseconds()
                        latencies.append(UInt32(clamping: now - began))
                        began = now
                    }
                    return latencies
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        return Measurement(latencies: latencies, seconds: Double(monotonicNanoseconds() - start) / 1_000_000_000)
    }
}

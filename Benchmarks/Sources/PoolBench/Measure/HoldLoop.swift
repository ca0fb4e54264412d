// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import PosthousePool

/// Tasks that lease, hold the connection for one `Task.yield()`, and return it, as fast as they are served.
struct HoldLoop {
    var callers: Int
    var seconds: Double

    private static let warmUp = 0.05

    /// The time that counts, after all have begun.
    private struct Window: Sendable {
        let begin: UInt64
        let end: UInt64
    }

    func run(on pool: StubPool) async throws -> Answer {
        let gate = StartGate<Window>()
        let waits = try await withThrowingTaskGroup(of: [Int32].self) { group in
            for _ in 0..<callers {
                group.addTask { try await Self.waits(on: pool, in: await gate.pass()) }
            }
            await gate.gather(callers)
            let begin = monotonicNanoseconds() + UInt64(Self.warmUp * 1_000_000_000)
            gate.open(Window(begin: begin, end: begin + UInt64(seconds * 1_000_000_000)))
            return try await group.reduce(into: []) { $0.append($1) }
        }
        return summary(of: waits)
    }

    /// Nanoseconds of waiting; the last one was still waiting at the end, and has waited so long then (below 0: it did not
    /// begin before the end).
    private static func waits(on pool: StubPool, in window: Window) async throws -> [Int32] {
        var waits: [Int32] = []
        waits.reserveCapacity(1 << 10)
        while true {
            let asked = monotonicNanoseconds()
            let lease = try await pool.acquire()
            let got = monotonicNanoseconds()
            await Task.yield()
            try lease.release()
            if got < window.begin { continue }
            waits.append(Int32(clamping: Int64(min(got, window.end)) - Int64(asked)))
            if got >= window.end { return waits }
        }
    }

    private func summary(of waits: [[Int32]]) -> Answer {
        let sorted = waits.joined().filter { $0 >= 0 }.sorted()
        let counts = waits.map { $0.count - 1 }
        func microseconds(_ thousandths: Int) -> Double {
            sorted.isEmpty ? 0 : Double(sorted[sorted.count * thousandths / 1000]) / 1000
        }
        return [
            "per_second": Double(counts.reduce(0, +)) / seconds,
            "p50_us": microseconds(500),
            "p99_us": microseconds(990),
            "p999_us": microseconds(999),
            "fairness": Double(counts.min() ?? 0) / Double(max(1, counts.max() ?? 0)),
        ]
    }
}

// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import PosthousePool

/// Requests that begin to wait and are cancelled while nothing comes back: do they leave anything behind?
struct CancelledWaiters {
    var count: Int
    /// So many at a time.
    var batch: Int

    /// The first batches' memory is used again by the others: growth counts from here on.
    private static let warmUpBatches = 20

    func run() async throws -> Answer {
        let pool = try await StubPool.full(8)
        let leased = try await pool.leaseTogether(8)
        for _ in 0..<Self.warmUpBatches { try await cancelBatch(on: pool) }
        let before = ResidentMemory.bytes
        let began = monotonicNanoseconds()
        for _ in 0..<(count / batch) { try await cancelBatch(on: pool) }
        let took = monotonicNanoseconds() - began
        let grown = ResidentMemory.bytes - before
        return withExtendedLifetime(leased) {
            [
                "grown_bytes": grown,
                "before_bytes": before,
                "ns": Double(took) / Double(count),
                "left_waiting": Double(pool.status().waiting),
            ]
        }
    }

    private func cancelBatch(on pool: StubPool) async throws {
        let deadline = ContinuousClock.now + .seconds(3600)
        let tasks = (0..<batch).map { _ in Task { try await pool.acquire(deadline: deadline).release() } }
        while pool.status().waiting < batch { await Task.yield() }
        for task in tasks { task.cancel() }
        for task in tasks {
            if case .failure(let error as PoolError) = await task.result, error.code == .cancelled { continue }
            throw Unexpected(description: "a cancelled request did not end as cancelled")
        }
    }
}

/// What must not happen did.
struct Unexpected: Error, CustomStringConvertible {
    let description: String
}

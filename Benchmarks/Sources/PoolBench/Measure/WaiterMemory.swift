// SPDX-License-Identifier: Apache-2.0

import PosthousePool

/// What a task that waits costs. Each to be asked of a fresh process: memory that was used before would be used again.
struct WaiterMemory {
    var count: Int

    /// Bytes per task that waits for a connection.
    func forConnection() async throws -> Double {
        let pool = try await StubPool.full(1)
        let leased = try await pool.leaseTogether(1)
        let before = ResidentMemory.bytes
        let bytes = try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<count {
                group.addTask { try await pool.acquire(deadline: .now + .seconds(3600)).release() }
            }
            while pool.status().waiting < count { try await Task.sleep(for: .milliseconds(5)) }
            let bytes = ResidentMemory.bytes - before
            group.cancelAll()
            while let result = await group.nextResult() {
                if case .failure(let error as PoolError) = result, error.code != .cancelled { throw error }
            }
            return bytes
        }
        return withExtendedLifetime(leased) { bytes / Double(count) }
    }

    /// Bytes per task that waits at a gate: a task alone, and a word for its continuation.
    func forNothing() async throws -> Double {
        let gate = StartGate<Void>()
        let before = ResidentMemory.bytes
        return await withTaskGroup(of: Void.self) { group in
            for _ in 0..<count { group.addTask { await gate.pass() } }
            await gate.gather(count)
            let bytes = ResidentMemory.bytes - before
            gate.open(())
            await group.waitForAll()
            return bytes / Double(count)
        }
    }
}

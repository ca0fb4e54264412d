// SPDX-License-Identifier: Apache-2.0

import CTask
import Dispatch
import PosthouseBase

/// The bridge from synchronous code on a thread of its own to asynchronous work.
package enum BlockingCall {
    /// Blocks the calling thread until `work` has ended; it runs on the default executor.
    ///
    /// - Throws: ``PoolError/Code/insideTask`` where a task is running: its thread is one of few, and `work` may need it. What
    ///   `work` throws.
    package static func wait<Result: Sendable>(
        _ work: @escaping @Sendable () async throws -> Result
    ) throws -> Result {
        try refuseInsideTask()
        let outcome = Outcome<Result>()
        Task.detached(priority: .high) {
            do {
                outcome.set(.success(try await work()))
            } catch {
                outcome.set(.failure(error))
            }
        }
        return try outcome.wait().get()
    }

    /// - Throws: ``PoolError/Code/insideTask`` where a task is running.
    static func refuseInsideTask() throws(PoolError) {
        guard ctask_current() == 0 else {
            throw PoolError(
                code: .insideTask,
                message: "a call that blocks its thread was made in a Swift task; use the asynchronous one there"
            )
        }
    }

    private final class Outcome<Value: Sendable>: Sendable {
        private let value = Guarded<Result<Value, any Error>?>(nil)
        private let isSet = DispatchSemaphore(value: 0)

        func set(_ value: Result<Value, any Error>) {
            self.value.withLock { $0 = value }
            isSet.signal()
        }

        func wait() -> Result<Value, any Error> {
            isSet.wait()
            // Set before the signal.
            return value.withLock { $0! }
        }
    }
}

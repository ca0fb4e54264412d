// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Testing

/// Runs a test on a thread that the default executor does not know, one such test at a time. A long computation would hold
/// one of the few threads on which all other tests wait for something in real time.
struct Apart: TestTrait, SuiteTrait, TestScoping {
    private static let executor = OwnThread()

    var isRecursive: Bool { true }

    func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(Self.executor) { try await function() }
    }
}

extension Trait where Self == Apart {
    /// For what computes long and waits for nobody.
    static var apart: Self { Apart() }
}

/// Runs tasks one at a time, beside the default executor.
final class OwnThread: TaskExecutor {
    private let queue = DispatchQueue(label: "tests")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Synchronization
import Testing

/// Runs a test on one of two threads that the default executor does not know. A long computation would hold one of the few
/// threads on which all other tests wait for something in real time; and many threads would take the processors from them.
struct Apart: TestTrait, SuiteTrait, TestScoping {
    private static let executors = [OwnThread(), OwnThread()]
    private static let tests = Atomic<Int>(0)

    var isRecursive: Bool { true }

    func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        let number = Self.tests.wrappingAdd(1, ordering: .relaxed).oldValue
        try await withTaskExecutorPreference(Self.executors[number % Self.executors.count]) { try await function() }
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

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// Runs tasks when the test says so, in the order they became ready: it opens the windows that races need.
final class ManualExecutor: TaskExecutor {
    private let jobs = Guarded<[UnownedJob]>([])

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
    }

    var ready: Int { jobs.withLock { $0.count } }

    /// Runs everything that is ready, and what that makes ready.
    func run() {
        while true {
            let batch = jobs.withLock { jobs in
                defer { jobs = [] }
                return jobs
            }
            if batch.isEmpty { return }
            for job in batch { job.runSynchronously(on: asUnownedTaskExecutor()) }
        }
    }

    func task<Success: Sendable>(
        _ body: @escaping @Sendable () async throws -> Success
    ) -> Task<Success, any Error> {
        Task(executorPreference: self) { try await body() }
    }

    /// Runs what becomes ready until the task has ended.
    func value<Success: Sendable>(of task: Task<Success, any Error>) async throws -> Success {
        let runner = Task {
            while !Task.isCancelled {
                run()
                try? await Task.sleep(for: .milliseconds(1))
            }
        }
        defer { runner.cancel() }
        return try await task.value
    }
}

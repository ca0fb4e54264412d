// SPDX-License-Identifier: Apache-2.0

/// Where the pool takes its time from; tests and simulators put a clock of their own here.
public protocol TimeSource: Sendable {
    /// The current time. Only differences count.
    var now: ContinuousClock.Instant { get }

    /// Where the pool's own tasks run: connects, work on connections, alarms. Not the tasks that use the pool: they run
    /// where they run. Default `nil`: the default executor.
    var workExecutor: (any TaskExecutor)? { get }

    /// Suspends until `deadline`; returns at once if that has passed.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    func sleep(until deadline: ContinuousClock.Instant) async throws
}

extension TimeSource {
    /// The default executor.
    public var workExecutor: (any TaskExecutor)? { nil }
}

/// The system's continuous clock: it goes on while the machine sleeps and never steps back.
public struct SystemTime: TimeSource {
    /// The system's time.
    public init() {}

    /// The current time.
    public var now: ContinuousClock.Instant { ContinuousClock.now }

    /// Suspends until `deadline`.
    public func sleep(until deadline: ContinuousClock.Instant) async throws {
        try await Task.sleep(until: deadline, clock: .continuous)
    }
}

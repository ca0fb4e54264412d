// SPDX-License-Identifier: Apache-2.0

public import PosthouseCluster
public import PosthouseReactor

/// Real time, kept by an event loop: exact while the application's own threads are busy, and honest about the
/// stretches in which this process could not run.
public struct LoopTime: ClusterClock {
    private let loop: EventLoop

    /// - Parameter loop: Keeps the timers and runs the monitors; never give it user code.
    public init(loop: EventLoop) {
        self.loop = loop
    }

    /// The continuous clock's time.
    public var now: ContinuousClock.Instant { .now }

    /// Sleeps until a time, or throws when the task is cancelled.
    public func sleep(until deadline: ContinuousClock.Instant) async throws {
        try await loop.sleep(until: deadline)
    }

    /// The loop.
    public var executor: (any TaskExecutor)? { loop }

    /// The longest stretch since `start` in which the loop ran late.
    public func stall(since start: ContinuousClock.Instant) -> Duration {
        loop.stall(since: start)
    }
}

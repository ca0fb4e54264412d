// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// The time that monitors live by, and the thread they run on.
public protocol ClusterClock: TimeSource {
    /// Where monitors run: a thread of their own that never runs user code, so that a busy application does not
    /// look like a dead server. `nil`: the default executor.
    var executor: (any TaskExecutor)? { get }

    /// The longest stretch since `start` in which this process could not run: stopped, starved or blocked.
    ///
    /// A check that times out while we ourselves were away proves nothing.
    func stall(since start: ContinuousClock.Instant) -> Duration
}

extension ClusterClock {
    /// None: the default executor.
    public var executor: (any TaskExecutor)? { nil }

    /// None that is known.
    public func stall(since start: ContinuousClock.Instant) -> Duration { .zero }
}

// SPDX-License-Identifier: Apache-2.0

/// What a loop holds at one moment. Everything returns to zero when all work has ended.
public struct LoopStatistics: Sendable, Hashable {
    /// Sockets registered.
    public let registrations: Int

    /// Tasks suspended in ``SocketRegistration/wait(for:until:)``.
    public let waitingContinuations: Int

    /// Timers not yet due: scheduled actions and sleeping tasks.
    public let pendingTimers: Int

    /// Jobs and closures submitted and not yet started.
    public let queuedJobs: Int
}

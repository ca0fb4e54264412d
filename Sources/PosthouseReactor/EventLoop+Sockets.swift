// SPDX-License-Identifier: Apache-2.0
import Synchronization

extension EventLoop {
    /// Registers a socket for the rest of its life, edge-triggered.
    ///
    /// The descriptor stays the caller's: call ``SocketRegistration/deregister()`` before closing it. It should be
    /// non-blocking.
    ///
    /// - Parameters:
    ///   - fileDescriptor: anything that epoll can watch, once per loop.
    ///   - onIdleEvent: runs on the loop's thread when the socket becomes readable or hangs up and no task waits. What
    ///     happened is recorded before, so that a task which waits next learns of it, too. It must not block.
    /// - Throws: `invalidSocket`, `alreadyRegistered`, `outOfResources`, or `shutDown`.
    public func register(
        _ fileDescriptor: Int32,
        onIdleEvent: (@Sendable (Readiness) -> Void)? = nil
    ) throws(ReactorError) -> SocketRegistration {
        let watch = try sockets.withLock { (table) throws(ReactorError) in
            try table.register(fileDescriptor, with: poller, onIdleEvent: onIdleEvent)
        }
        return SocketRegistration(loop: self, watch: watch)
    }

    /// Ends all waits whose deadline has passed, and all timers that are due. On the loop's thread only.
    func expire(now: Ticks) {
        if nextDeadline.load(ordering: .relaxed) <= now { expireDeadlines(now: now) }
        if nextTimer.load(ordering: .relaxed) <= now { fireTimers(now: now) }
    }

    private func expireDeadlines(now: Ticks) {
        // First the store, then the look: see announce(deadline:).
        nextDeadline.store(.max, ordering: .sequentiallyConsistent)
        let watches = sockets.withLock { $0.watches }
        var earliest = Ticks.max
        for watch in watches {
            earliest = min(earliest, watch.expire(now: now))
        }
        announce(deadline: earliest)
    }

    /// Ends all registrations. On the loop's thread only.
    func endWaits() {
        let watches = sockets.withLock { $0.close() }
        for watch in watches { _ = watch.close(.shutDown) }
        nextDeadline.store(.max, ordering: .relaxed)
    }
}

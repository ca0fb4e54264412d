// SPDX-License-Identifier: Apache-2.0
import PosthouseBase
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

    /// Finds the waits whose deadline has passed, and plans the wake-up for the others. On the loop's thread only.
    func collectDue(now: Ticks, into expiring: inout ContiguousArray<(watch: SocketWatch, wait: UInt32)>) {
        guard nextDeadline.load(ordering: .relaxed) <= now else { return }
        // First the store, then the look: see announce(deadline:).
        nextDeadline.store(.max, ordering: .sequentiallyConsistent)
        let watches = sockets.withLock { $0.watches }
        var earliest = Ticks.max
        for watch in watches {
            guard let (number, deadline) = watch.deadlineOfWait() else { continue }
            if deadline <= now {
                expiring.append((watch, number))
            } else {
                earliest = min(earliest, deadline)
            }
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

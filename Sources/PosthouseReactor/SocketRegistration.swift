// SPDX-License-Identifier: Apache-2.0
package import PosthouseBase

/// One edge-triggered registration of a socket with a loop, for the socket's whole life.
///
/// Edge-triggered means: after a wait, read (or write) until it would block, and only then wait again. What became ready
/// in between is remembered, so nothing is lost, but a wait may return although nothing is left to read: try, and wait
/// again.
///
/// All methods may be called from any thread. A registration that is dropped deregisters itself, but the socket must
/// not be closed before.
public final class SocketRegistration: Sendable {
    /// The loop that watches the socket.
    public let loop: EventLoop

    private let watch: SocketWatch

    init(loop: EventLoop, watch: SocketWatch) {
        self.loop = loop
        self.watch = watch
    }

    deinit {
        deregister()
    }

    /// Suspends until the socket becomes ready for something in `interest`, or hangs up.
    ///
    /// Returns at once if that was recorded since the last time it was taken; returning takes it. Try your I/O until it
    /// would block before you wait. A wait for reading only costs no system call, no lock and no allocation.
    ///
    /// - Parameters:
    ///   - interest: `.read`, `.write` or both. A hangup always ends the wait.
    ///   - deadline: nil means none. It is checked against the sockets' state *after* it passed: what has arrived by
    ///     then counts, however late the loop looks.
    /// - Throws: `cancelled`, `timedOut`, `interrupted`, `deregistered`, `shutDown`; `alreadyWaiting` if another task
    ///   waits (one at a time).
    public func wait(
        for interest: Readiness,
        until deadline: ContinuousClock.Instant?
    ) async throws(SocketWaitError) {
        try await wait(for: interest, deadline: deadline.map { Moment($0) })
    }

    /// ``wait(for:until:)``, for a caller that counts in moments.
    package func wait(for interest: Readiness, deadline: Moment?) async throws(SocketWaitError) {
        guard let armed = try arm(for: interest) else { return }
        let due = deadline.map(loop.clock.deadline) ?? .max
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                if watch.publish(continuation, deadline: due) { loop.announce(deadline: due) }
            }
        } onCancel: {
            watch.cancel(wait: armed.waitNumber)
        }
        if let error = watch.leave().error { throw error }
    }

    /// Like ``wait(for:until:)``, but goes on if the task is cancelled.
    ///
    /// For work that has to be finished in a cancelled task, such as reading the end of a cancelled statement, and for
    /// callers that watch for cancellation themselves: the handler is a tenth of the cost of a wait.
    public func waitIgnoringCancellation(
        for interest: Readiness,
        until deadline: ContinuousClock.Instant?
    ) async throws(SocketWaitError) {
        guard try arm(for: interest) != nil else { return }
        let due = deadline.map { loop.clock.deadline(Moment($0)) } ?? .max
        await withUnsafeContinuation { continuation in
            if watch.publish(continuation, deadline: due) { loop.announce(deadline: due) }
        }
        if let error = watch.leave().error { throw error }
    }

    /// Reserves the right to wait.
    ///
    /// - Returns: nil if there is no need to.
    private func arm(for interest: Readiness) throws(SocketWaitError) -> RegistrationWord? {
        switch watch.arm(for: interest) {
        case .ready: return nil
        case .refused(let error, _): throw error
        case .armed(let word):
            if interest.contains(.write) != word.isWatchingWrites { watchWrites(interest.contains(.write)) }
            return word
        }
    }

    /// A readable edge or a hangup was recorded that nobody took.
    public var hasPendingEvent: Bool {
        !watch.state.ready.isDisjoint(with: [.read, .hangup])
    }

    /// Takes everything that was recorded.
    public func takePendingEvents() -> Readiness {
        watch.takeReady()
    }

    /// Makes the wait in progress throw `interrupted`; if there is none, the next one.
    public func interrupt() {
        watch.interrupt()
    }

    /// The registration continues with another socket, perhaps of the same number, because libpq opened a new one.
    ///
    /// Events of the old socket are not delivered after this returns. A task that waits goes on waiting, for the new one.
    ///
    /// - Throws: like ``EventLoop/register(_:onIdleEvent:)``; the registration is given up then.
    public func replace(with fileDescriptor: Int32) throws(ReactorError) {
        do {
            let wasCalling = try loop.sockets.withLock { (table) throws(ReactorError) in
                try table.replace(watch, with: fileDescriptor, poller: loop.poller)
            }
            if wasCalling { awaitCallback() }
        } catch {
            deregister()
            throw error
        }
    }

    /// Gives the registration up. After this returns, no event is delivered and the socket may be closed.
    ///
    /// If the idle callback runs at that moment on the loop's thread, this waits for its end (unless the caller is on that
    /// thread); so do not hold a lock that the callback takes. A waiting task gets `deregistered`. Calling this again does nothing.
    public func deregister() {
        loop.sockets.withLock { $0.remove(watch, poller: loop.poller) }
        if watch.close(.deregistered) { awaitCallback() }
    }

    private func awaitCallback() {
        guard !loop.isCurrent else { return }
        loop.callbackGate.withLock { _ in }
    }

    /// Off the hot path: connecting, and sending more than the socket's buffer holds.
    private func watchWrites(_ watches: Bool) {
        let isThere = loop.sockets.withLock { $0.setWatchesWriting(watches, of: watch, poller: loop.poller) }
        // The socket was closed under us. Its next use says so; waiting for it would not end.
        if !isThere { watch.noteHangup() }
    }
}

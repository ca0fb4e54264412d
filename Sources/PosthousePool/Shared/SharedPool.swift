// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Synchronization

/// The one pool that a program uses without passing it around.
///
/// ```swift
/// DatabasePool.shared.instance()   // throws until somebody called initialize
/// ```
///
/// All methods may be called from any thread at any time. What they do is as if they ran one after the other.
public final class SharedPool<Pool: ScopedPool>: Sendable {
    private struct State {
        var current: Pool?
        var wasClosed = false
        /// Pools that were shared and are not closed to the end.
        var retired: [ObjectIdentifier: Pool] = [:]

        mutating func retireCurrent() -> Pool? {
            guard let pool = current else { return nil }
            current = nil
            retired[ObjectIdentifier(pool)] = pool
            return pool
        }
    }

    private let name: String
    private let drainTimeout: Duration
    private let state = Guarded(State())

    /// Shares nothing, until ``initialize(_:)``.
    ///
    /// - Parameters:
    ///   - name: What errors call it: "there is no shared *name*: call *name*.initialize(...) first".
    ///   - drainTimeout: How long the leases of a pool that was replaced may last; then they are interrupted. Default: 30 s.
    public init(name: String, drainTimeout: Duration = .seconds(30)) {
        self.name = name
        self.drainTimeout = drainTimeout
    }

    /// Makes a pool the shared one.
    ///
    /// The one that was shared before is drained in the background: its leases go on to their end, but no longer than the
    /// drain timeout, and its connections are closed. Who waits for a connection in ``withConnection(_:)`` waits on at
    /// the new pool.
    ///
    /// - Returns: The pool.
    @discardableResult
    public func initialize(_ pool: Pool) -> Pool {
        let replaced: Pool? = state.withLock { state in
            guard state.current !== pool else { return nil }
            let replaced = state.retireCurrent()
            state.current = pool
            state.wasClosed = false
            return replaced
        }
        if let replaced {
            let deadline = ContinuousClock.now + drainTimeout
            Task.detached { [self] in
                await replaced.close(deadline: deadline)
                forget([replaced])
            }
        }
        return pool
    }

    /// The shared pool.
    ///
    /// - Throws: ``PoolError/Code/notInitialized`` if there is none: nobody called `initialize`, or it was closed since.
    public func instance() throws(PoolError) -> Pool {
        let pool = try current()
        guard !pool.isClosed else { throw missing(wasClosed: true) }
        return pool
    }

    /// Lends a handle of the pool that is shared at this moment for the time that `body` runs.
    ///
    /// - Throws: ``PoolError/Code/notInitialized`` without a shared pool; what the pool's own scope throws.
    public nonisolated(nonsending) func withConnection<Result>(
        _ body: nonisolated(nonsending) (Pool.Handle) async throws -> Result
    ) async throws -> Result {
        while true {
            let pool = try current()
            let entered = Flag()
            do {
                return try await pool.withConnection { handle in
                    entered.raise()
                    return try await body(handle)
                }
            } catch let error as PoolError {
                // Replaced after it was looked up, or while this request waited: the new one serves it.
                guard error.code == .closed, !entered.isRaised, isReplaced(pool) else { throw error }
            }
        }
    }

    /// Closes the shared pool, and those that it replaced and that are not drained yet; none is shared afterwards.
    ///
    /// - Parameter deadline: When leases that are still out are interrupted. Default `nil`: waits as long as it takes.
    /// - Returns: How many connections were still leased at the end.
    @discardableResult
    public nonisolated(nonsending) func close(deadline: ContinuousClock.Instant? = nil) async -> Int {
        let pools = state.withLock { state in
            if state.retireCurrent() != nil { state.wasClosed = true }
            return Array(state.retired.values)
        }
        let left = await PosthousePool.close(pools, deadline: deadline)
        forget(pools)
        return left
    }

    /// Waits until its task is cancelled, then closes the shared pool, whichever that is by then.
    ///
    /// For the shutdown of a service: a task that runs as long as the service does. With swift-service-lifecycle, call it
    /// within `cancelWhenGracefulShutdown` in a service that comes before those that use the pool, for services end in the
    /// reverse order.
    ///
    /// - Parameter drainTimeout: How long leases may last from then on; then they are interrupted. Default: 30 s.
    public nonisolated(nonsending) func run(drainTimeout: Duration = .seconds(30)) async {
        // A stream that nobody feeds ends when the task that reads it is cancelled.
        let (forever, source) = AsyncStream.makeStream(of: Never.self)
        for await _ in forever {}
        source.finish()
        // In a task that is not cancelled: there, closing would not wait.
        let closing = Task.detached { [self] in await close(deadline: .now + drainTimeout) }
        _ = await closing.value
    }

    private func current() throws(PoolError) -> Pool {
        let (pool, wasClosed) = state.withLock { ($0.current, $0.wasClosed) }
        guard let pool else { throw missing(wasClosed: wasClosed) }
        return pool
    }

    private func missing(wasClosed: Bool) -> PoolError {
        PoolError(
            code: .notInitialized,
            message: wasClosed
                ? "the shared \(name) was closed; call \(name).initialize(...) to share another"
                : "there is no shared \(name); call \(name).initialize(...) first, when the program starts"
        )
    }

    private func isReplaced(_ pool: Pool) -> Bool {
        state.withLock { $0.current !== pool }
    }

    private func forget(_ pools: [Pool]) {
        state.withLock { state in
            for pool in pools where state.current !== pool { state.retired[ObjectIdentifier(pool)] = nil }
        }
    }
}

/// Something that happened, or not.
private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)

    var isRaised: Bool { value.load(ordering: .relaxed) }

    func raise() { value.store(true, ordering: .relaxed) }
}

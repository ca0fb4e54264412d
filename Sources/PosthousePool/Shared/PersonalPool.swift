// SPDX-License-Identifier: Apache-2.0

/// A pool in which everybody has a connection of their own: each task, and each thread that runs synchronous code.
///
/// A task that asks again gets the same connection again, also while it is using it: nested scopes share it, and only the
/// end of the outermost one gives it back. So nobody ever waits for a connection that they hold themselves, and nobody waits
/// for anybody else, for there is no maximum. A child task is a task of its own, with a connection of its own, so a
/// connection is never used by two tasks.
///
/// ```swift
/// let pool = try PersonalPool(strategy: strategy)
/// try await pool.withConnection { outer in
///     try await pool.withConnection { inner in ... }   // the same connection
///     async let other = pool.withConnection { ... }    // another one
/// }
/// ```
///
/// The end of a scope never closes the connection; the end of its owner does. The system tells when a thread ends. The
/// language does not tell when a task ends, so say it by ``withTaskLifetime(_:)``; else the connection is closed when the task
/// has not used it for a while (see ``init(strategy:configuration:lingering:time:observer:)``).
///
/// Between two scopes the connection is idle in a pool of one: it is checked as in every ``ConnectionPool``, one that does not
/// pass is replaced, and permits (``LeasePermit``) of an earlier scope are denied.
public final class PersonalPool<Strategy: ConnectionStrategy>: Sendable {
    private let core: PersonalCore<Strategy>

    /// A pool without connections; each owner's first scope opens one.
    ///
    /// - Parameters:
    ///   - strategy: How to open, check and close them.
    ///   - configuration: Its times and its name count; its sizes do not.
    ///   - lingering: How long a task's connection stays open after the end of the task's last scope, unless the task uses it
    ///     again or says when it ends (``withTaskLifetime(_:)``). Default: 1 s.
    ///   - time: The time.
    ///   - observer: Is told what happens.
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for times out of range.
    public init(
        strategy: Strategy,
        configuration: PoolConfiguration = PoolConfiguration(),
        lingering: Duration = .seconds(1),
        time: any TimeSource = SystemTime(),
        observer: (any PoolObserver)? = nil
    ) throws(PoolError) {
        var configuration = configuration
        configuration.maximumSize = 1
        configuration.burstLimit = nil
        configuration.minimumSize = 0
        configuration.minimumIdle = 0
        try configuration.validate()
        if lingering < .zero { throw .invalid("lingering is \(lingering); it must not be negative") }
        core = PersonalCore(
            strategy: strategy,
            configuration: configuration,
            lingering: lingering,
            time: time,
            observer: observer
        )
    }

    deinit {
        core.poolDropped()
    }

    /// Runs `body` with the current task's connection, which is opened if the task has none.
    ///
    /// - Throws: What `body` throws; ``PoolError``: `timedOut`, `closed`, `cancelled`, `connectFailed`; what closing the
    ///   connection threw if it was not kept and `body` did not throw.
    @discardableResult
    public nonisolated(nonsending) func withConnection<Result>(
        _ body: nonisolated(nonsending) (Strategy.Connection) async throws -> Result
    ) async throws -> Result {
        try await withLease { connection, _ in try await body(connection) }
    }

    /// As ``withConnection(_:)``, with the permit of the outermost scope that is open.
    package nonisolated(nonsending) func withLease<Result>(
        _ body: nonisolated(nonsending) (Strategy.Connection, LeasePermit) async throws -> Result
    ) async throws -> Result {
        let owner = PersonalCore<Strategy>.Owner.currentTask
        switch try core.enter(owner) {
        case .inner(let lent): return try await body(lent.connection, lent.permit)
        case .outer(let pool):
            do {
                let result = try await lend(pool, to: owner, body)
                core.leave(owner)
                return result
            } catch {
                core.leave(owner)
                throw error
            }
        }
    }

    private nonisolated(nonsending) func lend<Result>(
        _ pool: ConnectionPool<Strategy>,
        to owner: PersonalCore<Strategy>.Owner,
        _ body: nonisolated(nonsending) (Strategy.Connection, LeasePermit) async throws -> Result
    ) async throws -> Result {
        let lease = try await pool.acquire()
        core.lent(lease.connection, lease.permit, to: owner)
        let result = try await body(lease.connection, lease.permit)
        try lease.release()
        return result
    }

    /// Says when the current task is done with its connection: when `body` ends, the connection is closed, at once.
    ///
    /// Scopes within `body` keep the same connection between them, however long that takes. It opens none by itself. Within
    /// another lifetime of the same task, the outer one counts.
    ///
    /// - Throws: What `body` throws; ``PoolError/Code/closed``.
    @discardableResult
    public nonisolated(nonsending) func withTaskLifetime<Result>(
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        let owner = PersonalCore<Strategy>.Owner.currentTask
        try core.beginLifetime(owner)
        do {
            let result = try await body()
            core.endLifetime(owner)
            return result
        } catch {
            core.endLifetime(owner)
            throw error
        }
    }

    /// Runs synchronous code with the current thread's connection, which is opened if the thread has none, and closed when
    /// the thread ends.
    ///
    /// Opening it blocks the thread: the strategy works on the default executor meanwhile. So this is for threads of your own,
    /// and not for tasks, whose threads are few and must not be blocked; nor for an isolated `deinit`, which runs on such a
    /// thread without being a task.
    ///
    /// - Throws: ``PoolError/Code/insideTask`` where a task is running; else as ``withConnection(_:)``.
    @discardableResult
    public func withThreadConnection<Result>(
        _ body: (Strategy.Connection) throws -> Result
    ) throws -> Result {
        try withThreadLease { connection, _ in try body(connection) }
    }

    /// As ``withThreadConnection(_:)``, with the permit of the outermost scope that is open.
    package func withThreadLease<Result>(
        _ body: (Strategy.Connection, LeasePermit) throws -> Result
    ) throws -> Result {
        try BlockingCall.refuseInsideTask()
        let thread = try ThreadLife.current
        let owner = PersonalCore<Strategy>.Owner.thread(ObjectIdentifier(thread))
        switch try core.enter(owner) {
        case .inner(let lent): return try body(lent.connection, lent.permit)
        case .outer(let pool):
            thread.add(core)
            // After the lease has gone back, whatever happens.
            defer { core.leave(owner) }
            return try lend(pool, to: owner, body)
        }
    }

    private func lend<Result>(
        _ pool: ConnectionPool<Strategy>,
        to owner: PersonalCore<Strategy>.Owner,
        _ body: (Strategy.Connection, LeasePermit) throws -> Result
    ) throws -> Result {
        let lease = try pool.acquireBlocking()
        core.lent(lease.connection, lease.permit, to: owner)
        let result = try body(lease.connection, lease.permit)
        try lease.release()
        return result
    }

    /// What the pool looks like now.
    public func status() -> PersonalPoolStatus { core.status() }

    /// Refuses new scopes and closes every connection: idle ones now, those in use when their outermost scope ends. Scopes
    /// within such a scope go on.
    ///
    /// - Parameter deadline: When those that are still in use are interrupted. Default `nil`: waits as long as it takes.
    ///   Cancelling the calling task counts as its deadline.
    /// - Returns: How many connections were still in use at the end.
    @discardableResult
    public nonisolated(nonsending) func close(deadline: ContinuousClock.Instant? = nil) async -> Int {
        await PosthousePool.close(core.close(), deadline: deadline)
    }

    /// Closes the pool at once: connections in use are interrupted, and closed when their scopes end.
    public func terminate() {
        for pool in core.close() { pool.terminate() }
    }
}

extension PersonalPool: ScopedPool {
    /// Whether the pool was closed or terminated.
    public var isClosed: Bool { core.isClosed }
}

/// A ``PersonalPool`` at one moment.
public struct PersonalPoolStatus: Sendable, Hashable {
    /// Tasks that have, or open, a connection.
    public var tasks: Int
    /// Threads that have, or open, a connection.
    public var threads: Int
    /// Open connections.
    public var size: Int
    /// Open connections that no scope uses at the moment.
    public var available: Int
    /// Connections in use.
    public var leased: Int
}

extension ConnectionPool {
    /// As ``acquire(affinity:)``, for code that blocks its thread instead of suspending.
    fileprivate func acquireBlocking() throws -> Lease<Strategy.Connection> {
        if let lease = try tryAcquire() { return lease }
        let handover = LeaseHandover<Strategy.Connection>()
        try BlockingCall.wait { [self] in handover.put(try await acquire()) }
        // Put there before the wait ended.
        return handover.take()!
    }
}

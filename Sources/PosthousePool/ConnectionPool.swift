// SPDX-License-Identifier: Apache-2.0

/// A pool of connections of one strategy.
///
/// Lazy: a connection is opened when a request finds none idle and there is room. Above
/// ``PoolConfiguration/maximumSize`` it grows only under load (``PoolConfiguration/burstLimit``) and shrinks back when the
/// load is gone. Requests that have to wait are served in the order they came. An error of
/// ``ConnectionStrategy/create()`` reaches the request that asked for the connection.
public final class ConnectionPool<Strategy: ConnectionStrategy>: Sendable {
    @usableFromInline let group: PoolGroup<Strategy.Connection>
    private let member: MemberID

    /// A pool without connections; the first request opens the first one.
    ///
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for limits out of range.
    public init(
        strategy: Strategy,
        configuration: PoolConfiguration = PoolConfiguration(),
        time: any TimeSource = SystemTime(),
        observer: (any PoolObserver)? = nil
    ) throws(PoolError) {
        group = PoolGroup(
            configuration: PoolGroupConfiguration(
                name: configuration.name,
                acquireTimeout: configuration.acquireTimeout,
                connectFailurePolicy: .failRequester
            ),
            time: time,
            observer: observer
        )
        member = try group.addMember(label: configuration.name, configuration: configuration, strategy: strategy)
        group.setServices(.all, for: member)
    }

    /// Leases a connection; suspends only if none is idle. See ``PoolGroup/acquire(_:)``.
    ///
    /// It gives up after ``PoolConfiguration/acquireTimeout``.
    ///
    /// - Throws: ``PoolError``: `timedOut`, `closed`, `cancelled`, `connectFailed`.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(
        affinity: Int = 0
    ) async throws(PoolError) -> Lease<Strategy.Connection> {
        try await group.acquire(AcquireRequest(affinity: affinity))
    }

    /// Leases a connection; suspends only if none is idle. See ``PoolGroup/acquire(_:)``.
    ///
    /// - Parameter deadline: When to give up; `nil`: now plus ``PoolConfiguration/acquireTimeout``.
    /// - Throws: ``PoolError``: `timedOut`, `closed`, `cancelled`, `connectFailed`.
    public nonisolated(nonsending) func acquire(
        deadline: ContinuousClock.Instant?,
        affinity: Int = 0
    ) async throws(PoolError) -> Lease<Strategy.Connection> {
        try await group.acquire(AcquireRequest(deadline: deadline, affinity: affinity))
    }

    /// Leases a connection if one is idle. Never suspends, never opens one.
    ///
    /// - Throws: ``PoolError``: `closed`; `cancelled` if the strategy's check said so.
    public func tryAcquire(affinity: Int = 0) throws(PoolError) -> Lease<Strategy.Connection>? {
        try group.tryAcquire(AcquireRequest(affinity: affinity))
    }

    /// Leases a connection for the time that `body` runs. See ``PoolGroup/withConnection(_:_:)``.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func withConnection<Result: ~Copyable>(
        _ body: nonisolated(nonsending) (Strategy.Connection) async throws -> Result
    ) async throws -> Result {
        try await group.withConnection(AcquireRequest(), body)
    }

    /// Leases a connection for the time that `body` runs, if it gets one by `deadline`.
    public nonisolated(nonsending) func withConnection<Result: ~Copyable>(
        deadline: ContinuousClock.Instant?,
        _ body: nonisolated(nonsending) (Strategy.Connection) async throws -> Result
    ) async throws -> Result {
        try await group.withConnection(AcquireRequest(deadline: deadline), body)
    }

    /// What the pool looks like now.
    public func status() -> PoolStatus {
        group.core.status(of: member)
    }

    /// Changes the limits. See ``PoolGroup/resize(_:maximumSize:burstLimit:)``.
    ///
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for a size below 1 or above the burst limit.
    public func resize(maximumSize: Int, burstLimit: Int? = nil) throws(PoolError) {
        try group.resize(member, maximumSize: maximumSize, burstLimit: burstLimit)
    }

    /// Replaces all connections: idle ones are closed now, leased ones when they come back.
    public func expire() {
        group.expire(member)
    }

    /// Closes the pool gracefully. See ``PoolGroup/close(deadline:)``.
    ///
    /// - Returns: How many connections were still leased at the end.
    @discardableResult
    public nonisolated(nonsending) func close(deadline: ContinuousClock.Instant? = nil) async -> Int {
        await group.close(deadline: deadline)
    }

    /// Closes the pool at once. See ``PoolGroup/terminate()``.
    public func terminate() {
        group.terminate()
    }
}

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

    /// A pool without connections; the first request opens the first one, or ``PoolConfiguration/minimumSize`` does.
    ///
    /// - Parameter queue: How requests wait. Default `nil`: with the name and the acquire timeout of `configuration`, and
    ///   ``ConnectFailurePolicy/failRequester``.
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for limits out of range.
    public init(
        strategy: Strategy,
        configuration: PoolConfiguration = PoolConfiguration(),
        queue: PoolGroupConfiguration? = nil,
        hooks: PoolHooks<Strategy.Connection> = PoolHooks(),
        time: any TimeSource = SystemTime(),
        observer: (any PoolObserver)? = nil
    ) throws(PoolError) {
        let queue = queue ?? PoolGroupConfiguration(of: configuration)
        group = try PoolGroup(validating: queue, time: time, observer: observer)
        member = try group.addMember(label: queue.name, configuration: configuration, strategy: strategy, hooks: hooks)
        group.setServices(.all, for: member)
    }

    /// Leases a connection; suspends only if none is idle. See ``PoolGroup/acquire(_:fileID:line:)``.
    ///
    /// It gives up after ``PoolConfiguration/acquireTimeout``.
    ///
    /// - Throws: ``PoolError``: `timedOut`, `closed`, `cancelled`, `exhausted`, `connectFailed`, `unavailable`, `overloaded`,
    ///   `hookFailed`.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(
        affinity: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(PoolError) -> Lease<Strategy.Connection> {
        try await group.acquire(AcquireRequest(affinity: affinity), fileID: fileID, line: line)
    }

    /// Leases a connection; suspends only if none is idle. See ``PoolGroup/acquire(_:fileID:line:)``.
    ///
    /// - Parameter deadline: When to give up; `nil`: now plus ``PoolConfiguration/acquireTimeout``.
    /// - Throws: As ``acquire(affinity:fileID:line:)``.
    public nonisolated(nonsending) func acquire(
        deadline: ContinuousClock.Instant?,
        affinity: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(PoolError) -> Lease<Strategy.Connection> {
        try await group.acquire(AcquireRequest(deadline: deadline, affinity: affinity), fileID: fileID, line: line)
    }

    /// Leases several connections together. See ``PoolGroup/acquire(count:_:fileID:line:)``.
    public nonisolated(nonsending) func acquire(
        count: Int,
        deadline: ContinuousClock.Instant? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(PoolError) -> LeaseBatch<Strategy.Connection> {
        try await group.acquire(count: count, AcquireRequest(deadline: deadline), fileID: fileID, line: line)
    }

    /// Leases a connection if one is idle. Never suspends, never opens one. See ``PoolGroup/tryAcquire(_:fileID:line:)``.
    ///
    /// - Throws: ``PoolError``: `closed`; `cancelled` if the strategy's check said so.
    public func tryAcquire(
        affinity: Int = 0,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) throws(PoolError) -> Lease<Strategy.Connection>? {
        try group.tryAcquire(AcquireRequest(affinity: affinity), fileID: fileID, line: line)
    }

    /// Leases a connection for the time that `body` runs. See ``PoolGroup/withConnection(_:fileID:line:_:)``.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func withConnection<Result: ~Copyable>(
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: nonisolated(nonsending) (Strategy.Connection) async throws -> Result
    ) async throws -> Result {
        try await group.withConnection(AcquireRequest(), fileID: fileID, line: line, body)
    }

    /// Leases a connection for the time that `body` runs, if it gets one by `deadline`.
    public nonisolated(nonsending) func withConnection<Result: ~Copyable>(
        deadline: ContinuousClock.Instant?,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: nonisolated(nonsending) (Strategy.Connection) async throws -> Result
    ) async throws -> Result {
        try await group.withConnection(AcquireRequest(deadline: deadline), fileID: fileID, line: line, body)
    }

    /// Opens the connections that the pool is to keep. See ``PoolGroup/warmUp(deadline:)``.
    public nonisolated(nonsending) func warmUp(deadline: ContinuousClock.Instant? = nil) async throws(PoolError) {
        try await group.warmUp(deadline: deadline)
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

    /// Changes the configuration. See ``PoolGroup/reconfigure(_:_:)``.
    ///
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for limits out of range; then nothing has changed.
    public func reconfigure(_ configuration: PoolConfiguration) throws(PoolError) {
        try group.reconfigure(member, configuration)
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

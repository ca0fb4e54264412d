// SPDX-License-Identifier: Apache-2.0

/// A pool of any kind, as far as its users are concerned: it lends a handle for a scope, and it ends.
public protocol ScopedPool<Handle>: AnyObject, Sendable {
    /// What a scope works with.
    associatedtype Handle

    /// Lends a handle for the time that `body` runs.
    ///
    /// - Throws: ``PoolError`` if there is no connection; what `body` throws.
    nonisolated(nonsending) func withConnection<Result>(
        _ body: nonisolated(nonsending) (Handle) async throws -> Result
    ) async throws -> Result

    /// Refuses new work, lets what runs finish until `deadline` (`nil`: as long as it takes), and closes every connection.
    ///
    /// - Returns: How many connections were still in use at the end.
    @discardableResult
    nonisolated(nonsending) func close(deadline: ContinuousClock.Instant?) async -> Int

    /// Whether the pool refuses work, because somebody closed it.
    var isClosed: Bool { get }
}

extension ConnectionPool: ScopedPool {
    /// Whether the pool was closed or terminated. Takes a snapshot: not for the way of every request.
    public var isClosed: Bool { group.snapshot().isClosed }

    /// As ``withConnection(fileID:line:_:)``, where it is not known who calls.
    @_disfavoredOverload
    public nonisolated(nonsending) func withConnection<Result>(
        _ body: nonisolated(nonsending) (Strategy.Connection) async throws -> Result
    ) async throws -> Result {
        try await group.withConnection(AcquireRequest(), body)
    }
}

/// Runs `body` with a pool that lives as long as it does: afterwards, also if `body` throws, the pool is closed.
///
/// ```swift
/// try await withPool(try DatabasePool("postgresql://app@db/shop")) { pool in
///     try await pool.execute("DELETE FROM baskets WHERE abandoned")
/// }
/// ```
///
/// - Parameters:
///   - make: Makes the pool.
///   - drainTimeout: How long leases that outlive `body` may last; then they are interrupted. Default: 30 s. If the task is
///     cancelled, they are interrupted at once.
///   - body: What to do with it.
/// - Throws: What making the pool or `body` throws. A connection that does not close well keeps neither the others nor the
///   scope from ending.
public nonisolated(nonsending) func withPool<Pool: ScopedPool, Result>(
    _ make: @autoclosure () throws -> Pool,
    drainTimeout: Duration = .seconds(30),
    _ body: nonisolated(nonsending) (Pool) async throws -> Result
) async throws -> Result {
    let pool = try make()
    do {
        let result = try await body(pool)
        await pool.close(deadline: .now + drainTimeout)
        return result
    } catch {
        await pool.close(deadline: .now + drainTimeout)
        throw error
    }
}

/// Closes all of them at the same time, whatever becomes of each.
///
/// - Returns: How many connections were still in use at the end.
nonisolated(nonsending) func close(_ pools: [some ScopedPool], deadline: ContinuousClock.Instant?) async -> Int {
    await withTaskGroup(of: Int.self) { group in
        for pool in pools { group.addTask { await pool.close(deadline: deadline) } }
        var left = 0
        for await count in group { left += count }
        return left
    }
}

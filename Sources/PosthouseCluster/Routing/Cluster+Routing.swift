// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// Connections to the hosts that one asks for.
extension Cluster {
    // MARK: - Scopes

    /// Runs `body` with a connection to a host that the target allows.
    ///
    /// ```swift
    /// try await cluster.withHost([.standby, .readWrite]) { db in try await db.query(report) }
    /// ```
    ///
    /// - Parameters:
    ///   - target: Which hosts may serve, the preferred ones first. A later step is taken while no host serves an earlier
    ///     one; a request that waits takes whichever comes first.
    ///   - timeout: The most to wait for the connection. Default: the configuration's `acquireTimeout`.
    ///   - body: What to do.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError`` if no connection could be had; whatever `body` throws.
    @discardableResult
    @inlinable
    public func withHost<Result>(
        _ target: HostTarget,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (Driver.Session) async throws -> Result
    ) async throws -> Result {
        try await use(request(for: target, timeout: timeout), at: AcquireSite(fileID: fileID, line: line), body)
    }

    /// Runs `body` with a connection to one host, whatever it is in the cluster.
    ///
    /// - Parameters:
    ///   - host: "host:port", as snapshots, errors and leases name it.
    ///   - timeout: The most to wait until it serves anything and has a connection. Default: the configuration's
    ///     `acquireTimeout`.
    ///   - body: What to do.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError``, with code `invalidArgument` if the cluster has no such host; whatever `body` throws.
    @discardableResult
    @inlinable
    public func withHost<Result>(
        named host: String,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (Driver.Session) async throws -> Result
    ) async throws -> Result {
        try await use(request(from: host, timeout: timeout), at: AcquireSite(fileID: fileID, line: line), body)
    }

    // MARK: - Leases

    /// Takes a connection to a host that the target allows, to keep until the lease is released or dropped.
    ///
    /// - Parameters:
    ///   - target: Which hosts may serve, the preferred ones first.
    ///   - timeout: The most to wait. Default: the configuration's `acquireTimeout`.
    /// - Throws: ``ClusterError``.
    public func acquire(
        _ target: HostTarget,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(ClusterError) -> ClusterLease<Driver> {
        try await lease(request(for: target, timeout: timeout), at: AcquireSite(fileID: fileID, line: line))
    }

    /// Takes a connection to the host that accepts writes.
    ///
    /// - Parameter timeout: The most to wait. Default: the configuration's `acquireTimeout`.
    /// - Throws: ``ClusterError``.
    public func acquirePrimary(
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(ClusterError) -> ClusterLease<Driver> {
        try await acquire(timeout: timeout, fileID: fileID, line: line)
    }

    /// Takes a connection for reading.
    ///
    /// - Parameters:
    ///   - fallbackPrimary: Whether the primary serves while no replica is there. Default: the configuration's.
    ///   - primaryAsReplicaWeight: The probability that the primary serves, 0...1. Default: the configuration's.
    ///   - timeout: The most to wait. Default: the configuration's `acquireTimeout`.
    /// - Throws: ``ClusterError``, with code `invalidArgument` for a weight that is no probability.
    public func acquireReplica(
        fallbackPrimary: Bool? = nil,
        primaryAsReplicaWeight: Double? = nil,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(ClusterError) -> ClusterLease<Driver> {
        try await acquire(
            readOnly: true,
            fallbackPrimary: fallbackPrimary,
            primaryAsReplicaWeight: primaryAsReplicaWeight,
            timeout: timeout,
            fileID: fileID,
            line: line
        )
    }

    /// Takes a connection to one host, whatever it is in the cluster.
    ///
    /// - Parameters:
    ///   - host: "host:port", as snapshots, errors and leases name it.
    ///   - timeout: The most to wait until it serves anything and has a connection. Default: the configuration's
    ///     `acquireTimeout`.
    /// - Throws: ``ClusterError``, with code `invalidArgument` if the cluster has no such host.
    public func acquire(
        from host: String,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(ClusterError) -> ClusterLease<Driver> {
        try await lease(request(from: host, timeout: timeout), at: AcquireSite(fileID: fileID, line: line))
    }

    func lease(_ request: AcquireRequest, at site: AcquireSite) async throws(ClusterError) -> ClusterLease<Driver> {
        ClusterLease(try await acquire(request, at: site), of: self)
    }

    // MARK: - Requests

    @usableFromInline
    func request(for target: HostTarget, timeout: Duration?) throws(ClusterError) -> AcquireRequest {
        let request = AcquireRequest(target)
        if request.wants.isEmpty {
            throw ClusterError(.invalidArgument, message: "a target needs at least one kind of host")
        }
        return limited(request, timeout)
    }

    @usableFromInline
    func request(from host: String, timeout: Duration?) throws(ClusterError) -> AcquireRequest {
        guard let member = core.router.member(named: host) else {
            throw failure(.invalidArgument, "\(host) is not a host of this cluster")
        }
        return limited(AcquireRequest(member: member), timeout)
    }

    @inlinable
    func readRequest(
        fallbackPrimary: Bool?,
        primaryAsReplicaWeight: Double?,
        timeout: Duration?
    ) throws(ClusterError) -> AcquireRequest {
        let weight = primaryAsReplicaWeight ?? core.configuration.primaryAsReplicaWeight
        if weight != 0 { return limited(try drawnRequest(weight), timeout) }
        let fallback = fallbackPrimary ?? core.configuration.fallbackPrimary
        return limited(AcquireRequest(wants: .reads, fallback: fallback ? .primary : []), timeout)
    }

    /// A read that the primary serves with this probability. Whoever is drawn but is not there is replaced by the other.
    @usableFromInline
    func drawnRequest(_ weight: Double) throws(ClusterError) -> AcquireRequest {
        guard weight > 0, weight <= 1 else {
            throw ClusterError(.invalidArgument, message: "primaryAsReplicaWeight must be in 0...1, not \(weight)")
        }
        guard core.router.drawsPrimary(weight) else { return AcquireRequest(wants: .reads, fallback: .primary) }
        guard core.configuration.staleness != nil else { return AcquireRequest(wants: .primary, fallback: .reads) }
        // Only reads are looked at for staleness, so that a replica must not stand in here.
        return core.router.offers(.primary)
            ? AcquireRequest(wants: .primary) : AcquireRequest(wants: .reads, fallback: .primary)
    }
}

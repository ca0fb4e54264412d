// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// Connections to the right server of a highly available database: writes to the primary, reads to replicas,
/// while servers die, are promoted, freeze and come back.
///
/// A cluster runs by itself from the moment it is made until ``close(timeout:)``. Dropped without `close`, it stops
/// too. It is generic over its driver; applications use the ready-made `PostgresCluster`.
///
/// ```swift
/// try await cluster.write { db in try await db.execute("UPDATE stock SET left = left - 1 WHERE id = \(id)") }
/// let left = try await cluster.read { db in try await db.query("SELECT left FROM stock WHERE id = \(id)") }
/// ```
public final class Cluster<Driver: ClusterDriver>: Sendable {
    @usableFromInline let core: ClusterCore<Driver>
    private let onDrop: (@Sendable () -> Void)?

    /// Makes a cluster and starts watching its hosts.
    ///
    /// - Parameters:
    ///   - endpoints: The hosts; any of them may be the primary.
    ///   - driver: How to talk to them.
    ///   - configuration: Pools, timeouts, routing.
    ///   - clock: The time, and the thread that monitors run on.
    ///   - random: Uniform in 0...1, for jitter.
    ///   - observer: Hears what happens in the hosts' pools. Default: nobody.
    ///   - onDrop: Called if the cluster is dropped without ``close(timeout:)`` or ``terminate()``.
    /// - Throws: ``ClusterError`` with code `invalidArgument`.
    public convenience init(
        endpoints: [Driver.Endpoint],
        driver: Driver,
        configuration: ClusterConfiguration = ClusterConfiguration(),
        clock: any ClusterClock,
        random: @escaping @Sendable () -> Double = { Double.random(in: 0...1) },
        observer: (any PoolObserver)? = nil,
        onDrop: (@Sendable () -> Void)? = nil
    ) throws(ClusterError) {
        if endpoints.isEmpty { throw ClusterError(.invalidArgument, message: "a cluster needs at least one host") }
        try self.init(
            startingWith: endpoints,
            driver: driver,
            configuration: configuration,
            clock: clock,
            random: random,
            observer: observer,
            onDrop: onDrop
        )
    }

    /// The same, for a cluster that learns later who belongs to it, if `endpoints` is empty.
    package init(
        startingWith endpoints: [Driver.Endpoint],
        driver: Driver,
        configuration: ClusterConfiguration,
        clock: any ClusterClock,
        random: @escaping @Sendable () -> Double,
        observer: (any PoolObserver)?,
        onDrop: (@Sendable () -> Void)?
    ) throws(ClusterError) {
        self.onDrop = onDrop
        if Set(endpoints).count != endpoints.count {
            throw ClusterError(.invalidArgument, message: "a host is named twice")
        }
        if let complaint = configuration.complaint { throw ClusterError(.invalidArgument, message: complaint) }
        do throws(PoolError) {
            self.core = try ClusterCore(
                endpoints: endpoints,
                driver: driver,
                configuration: configuration,
                clock: clock,
                random: random,
                observer: observer
            )
        } catch {
            throw ClusterError(.invalidArgument, message: error.message, pool: error)
        }
    }

    deinit {
        guard !core.isStopped else { return }
        core.halt()
        core.group.terminate()
        onDrop?()
    }

    // MARK: - Use

    /// Runs `body` with a connection to the primary.
    ///
    /// Waits until there is a primary with a free connection. The connection goes back when `body` ends; the
    /// handle is worthless afterwards. Cancelling the task ends the wait at once.
    ///
    /// - Parameters:
    ///   - timeout: The most to wait for the connection. Default: the configuration's `acquireTimeout`.
    ///   - body: What to do on the primary.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError`` if no connection could be had; whatever `body` throws.
    @discardableResult
    @inlinable
    public func write<Result>(
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (Driver.Session) async throws -> Result
    ) async throws -> Result {
        try await use(
            limited(AcquireRequest(wants: .primary), timeout),
            at: AcquireSite(fileID: fileID, line: line),
            body
        )
    }

    /// Runs `body` with a connection to a replica.
    ///
    /// - Parameters:
    ///   - fallbackPrimary: Whether the primary serves while no replica is there. Default: the configuration's.
    ///   - primaryAsReplicaWeight: The probability that the primary serves, 0...1. Default: the configuration's.
    ///   - timeout: The most to wait for the connection. Default: the configuration's `acquireTimeout`.
    ///   - body: What to do; writing on a replica fails with SQLSTATE 25006.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError`` if no connection could be had, or with code `invalidArgument` for a weight that is no
    ///   probability; whatever `body` throws.
    @discardableResult
    @inlinable
    public func read<Result>(
        fallbackPrimary: Bool? = nil,
        primaryAsReplicaWeight: Double? = nil,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (Driver.Session) async throws -> Result
    ) async throws -> Result {
        try await use(
            readRequest(
                fallbackPrimary: fallbackPrimary,
                primaryAsReplicaWeight: primaryAsReplicaWeight,
                timeout: timeout
            ),
            at: AcquireSite(fileID: fileID, line: line),
            body
        )
    }

    /// Runs `body` with a connection to any usable host.
    ///
    /// - Parameters:
    ///   - timeout: The most to wait for the connection. Default: the configuration's `acquireTimeout`.
    ///   - body: What to do.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError`` if no connection could be had; whatever `body` throws.
    @discardableResult
    @inlinable
    public func withAnyHost<Result>(
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (Driver.Session) async throws -> Result
    ) async throws -> Result {
        try await use(
            limited(AcquireRequest(wants: [.primary, .reads]), timeout),
            at: AcquireSite(fileID: fileID, line: line),
            body
        )
    }

    /// Takes a connection to keep until the lease is released or dropped.
    ///
    /// - Parameters:
    ///   - readOnly: Whether a replica is wanted. Default: the primary.
    ///   - fallbackPrimary: Whether the primary serves reads while no replica is there. Not for writes.
    ///   - primaryAsReplicaWeight: The probability that the primary serves a read, 0...1. Not for writes.
    ///   - timeout: The most to wait. Default: the configuration's `acquireTimeout`.
    /// - Throws: ``ClusterError``, with code `invalidArgument` for a weight that is no probability.
    public func acquire(
        readOnly: Bool = false,
        fallbackPrimary: Bool? = nil,
        primaryAsReplicaWeight: Double? = nil,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(ClusterError) -> ClusterLease<Driver> {
        let site = AcquireSite(fileID: fileID, line: line)
        if readOnly {
            let request = try readRequest(
                fallbackPrimary: fallbackPrimary,
                primaryAsReplicaWeight: primaryAsReplicaWeight,
                timeout: timeout
            )
            return try await lease(request, at: site)
        }
        if fallbackPrimary != nil || primaryAsReplicaWeight != nil {
            let name = fallbackPrimary != nil ? "fallbackPrimary" : "primaryAsReplicaWeight"
            throw ClusterError(.invalidArgument, message: "\(name) is for reads; a write has only the primary")
        }
        return try await lease(limited(AcquireRequest(wants: .primary), timeout), at: site)
    }

    @inlinable
    func use<Result>(
        _ request: AcquireRequest,
        at site: AcquireSite,
        _ body: (Driver.Session) async throws -> Result
    ) async throws -> Result {
        try await use(try await acquire(request, at: site), body)
    }

    @inlinable
    func use<Result>(
        _ lease: consuming Lease<Driver.Connection>,
        _ body: (Driver.Session) async throws -> Result
    ) async throws -> Result {
        let measured = core.router.measuresUse ? core.router.begin(on: lease.member) : nil
        defer { measured?.end() }
        let result = try await body(core.driver.session(on: lease.connection, permit: lease.permit))
        try lease.release()
        return result
    }

    @inlinable
    func acquire(
        _ request: AcquireRequest,
        at site: AcquireSite
    ) async throws(ClusterError) -> Lease<Driver.Connection> {
        var request = request
        request.site = site
        request.affinity = core.driver.currentAffinity
        if !core.router.isNeutral { request.prefers = core.router.preference(of: request) }
        if core.configuration.staleness != nil, let fresh = try await acquireFresh(request) { return fresh }
        return try await grant(request)
    }

    @inlinable
    func grant(_ request: AcquireRequest) async throws(ClusterError) -> Lease<Driver.Connection> {
        do throws(PoolError) {
            return try await core.group.acquire(request)
        } catch {
            throw explain(error, request)
        }
    }

    @inlinable
    func limited(_ request: AcquireRequest, _ timeout: Duration?) -> AcquireRequest {
        guard let timeout else { return request }
        var request = request
        request.deadline = core.clock.now + timeout
        return request
    }

    // MARK: - Looking

    /// The cluster as this process sees it now.
    public func snapshot() -> ClusterSnapshot { core.snapshot() }

    /// What happens from now on: role changes, outages, quarantines. Ends when the cluster is closed.
    ///
    /// A subscriber that falls 1,024 events behind loses the oldest ones.
    public var events: AsyncStream<ClusterEvent> { core.events.subscribe() }

    /// What is known of every host, for errors.
    func reasons() -> [ClusterError.HostReason] {
        core.snapshot().hosts.map {
            ClusterError.HostReason(host: $0.host, state: $0.state, role: $0.role, reason: $0.reason)
        }
    }

    // MARK: - End

    /// Refuses new work, lets leased connections finish, and closes everything.
    ///
    /// - Parameter timeout: How long to let leased connections finish; what is still out then is interrupted.
    ///   Default: 30 s.
    /// - Returns: How many connections had to be interrupted.
    @discardableResult
    public func close(timeout: Duration = .seconds(30)) async -> Int {
        let interrupted = await core.group.close(deadline: core.clock.now + timeout)
        await core.stop()
        return interrupted
    }

    /// Closes idle and leased connections at once; running statements and waiting requests fail.
    public func terminate() {
        core.group.terminate()
        core.halt()
    }
}

// MARK: - Errors

extension Cluster {
    func failure(_ code: ClusterError.Code, _ message: String, pool: PoolError? = nil) -> ClusterError {
        ClusterError(code, message: message, hosts: reasons(), pool: pool)
    }

    /// Says in the cluster's terms why the pool could not serve.
    @usableFromInline
    func explain(_ error: PoolError, _ request: AcquireRequest) -> ClusterError {
        switch error.code {
        case .closed: return ClusterError(.closed, message: "the cluster is closed", pool: error)
        case .cancelled:
            let message = "the task was cancelled while it waited for a connection"
            return ClusterError(.cancelled, message: message, pool: error)
        case .timedOut: break
        case .exhausted: return failure(.exhausted, error.message, pool: error)
        case .overloaded: return failure(.overloaded, error.message, pool: error)
        default: return failure(.connectFailed, error.message, pool: error)
        }
        let hosts = core.snapshot().hosts.filter { request.member == nil || $0.pool.member == request.member }
        let accepted = request.accepted
        let role =
            request.member.map { core.label(of: $0) }
            ?? (!accepted.contains(.replica) ? "primary" : accepted.contains(.primary) ? "host" : "replica")
        let serving = hosts.filter { !$0.serves.isDisjoint(with: accepted) }
        let waited = error.waited
        if core.writesArePaused, accepted.contains(.primary),
            serving.allSatisfy({ $0.serves.intersection(accepted) == .primary })
        {
            return failure(.writesPaused, "writes are paused, and did not go on within \(waited)", pool: error)
        }
        if serving.isEmpty {
            let answers = hosts.contains { [.up, .busy, .starting, .quarantined].contains($0.state) }
            if hosts.isEmpty {
                let status = core.sourceBell.status
                let why = status?.lastFailure.map { ": \($0)" } ?? ""
                return failure(.noHostReachable, "no host was named within \(waited)\(why)", pool: error)
            }
            guard answers else {
                let who = request.member == nil ? "no host could" : "\(role) could not"
                return failure(.noHostReachable, "\(who) be reached within \(waited)", pool: error)
            }
            if request.member != nil {
                return failure(.noHostReachable, "\(role) could not be used within \(waited)", pool: error)
            }
            let code: ClusterError.Code = accepted.contains(.replica) ? .noReplica : .noPrimary
            return failure(code, "no \(role) within \(waited)", pool: error)
        }
        let size = serving.map(\.pool.size).reduce(0, +)
        if size == 0, let last = serving.compactMap(\.pool.lastConnectError).last {
            return failure(.connectFailed, "no connection to the \(role) within \(waited): \(last)", pool: error)
        }
        let message = "no free connection to the \(role) within \(waited): \(error.message)"
        return failure(.acquireTimedOut, message, pool: error)
    }
}

// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

extension Cluster {
    /// Runs `body` with a connection to a replica that is not too far behind.
    ///
    /// A replica's lag is what its last check said, at most ``ClusterConfiguration/refreshDelay`` ago; see ``ReplicaLag`` and
    /// ``LagLimit``. A replica that comes within the limit while the request waits serves it. Limits are remembered (with
    /// their replicas' states) for the last few that were used: do not make up a new one for each call.
    ///
    /// - Parameters:
    ///   - maxLag: How far behind the replica may be, instead of the configuration's.
    ///   - fallbackPrimary: Whether the primary serves while no replica keeps the limit. Default: the configuration's.
    ///   - usesStaleReplicas: Whether, while there is nobody else, replicas serve that do not keep it. Default: the
    ///     configuration's, or false.
    ///   - timeout: The most to wait for the connection. Default: the configuration's `acquireTimeout`.
    ///   - body: What to do; writing there fails with SQLSTATE 25006.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError`` if no connection could be had, `invalidArgument` for a negative limit; whatever `body`
    ///   throws.
    @discardableResult
    public func read<Result>(
        maxLag: LagLimit,
        fallbackPrimary: Bool? = nil,
        usesStaleReplicas: Bool? = nil,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (Driver.Session) async throws -> Result
    ) async throws -> Result {
        if let complaint = maxLag.complaint { throw ClusterError(.invalidArgument, message: complaint) }
        let rule = ReadRule(
            limit: maxLag,
            fallbackPrimary: fallbackPrimary ?? core.configuration.fallbackPrimary,
            usesStaleReplicas: usesStaleReplicas ?? core.configuration.staleness?.usesStaleReplicas ?? false
        )
        var request = try readRequest(fallbackPrimary: fallbackPrimary, primaryAsReplicaWeight: 0, timeout: timeout)
        request.site = AcquireSite(fileID: fileID, line: line)
        request.affinity = core.driver.currentAffinity
        if !core.router.isNeutral { request.prefers = core.router.preference(of: request) }
        let lease = try await acquire(request, under: rule)
        return try await use(lease, body)
    }

    /// Runs `body` with a connection to a server that has everything that was committed before the token was made.
    ///
    /// A replica that is known to have it serves at once. Otherwise, or while all of that one's connections are leased, another
    /// is asked, and waited for until it has replayed that far. If that takes longer than `maximumWait`, the primary serves; if it
    /// is not to, whoever is known to have it by then, as soon as there is a connection. After a failover without synchronous
    /// replication, commits that the token stands for may be lost; nobody can read them then.
    ///
    /// - Parameters:
    ///   - token: From `commitToken()` of the session that wrote, perhaps in another process.
    ///   - maximumWait: The longest to wait for a replica to catch up. Default: 100 ms.
    ///   - fallbackPrimary: Whether the primary serves then, and while there is no replica. Default: true.
    ///   - timeout: The most to wait for everything before `body`. Default: the configuration's `acquireTimeout`.
    ///   - body: What to do.
    /// - Returns: What `body` returned.
    /// - Throws: ``ClusterError``: `foreignToken` for one of another cluster, `tokenNotReached` if no server got there in
    ///   time, others if no connection could be had; whatever `body` throws.
    @discardableResult
    public func read<Result>(
        after token: CommitToken,
        maximumWait: Duration = .milliseconds(100),
        fallbackPrimary: Bool = true,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: (Driver.Session) async throws -> Result
    ) async throws -> Result {
        let deadline = core.clock.now + (timeout ?? core.configuration.acquireTimeout)
        try await awaitTimeline(of: token, until: deadline)
        var request = AcquireRequest(wants: .replica, fallback: fallbackPrimary ? .primary : [])
        request.deadline = deadline
        request.site = AcquireSite(fileID: fileID, line: line)
        request.affinity = core.driver.currentAffinity
        request.prefers = core.member(having: token)
        let lease = try await grant(request)
        let end = min(deadline, core.clock.now + maximumWait)
        if try await hasReplayed(lease, token, until: end) { return try await use(lease, body) }
        try lease.release()
        guard fallbackPrimary else {
            // The one that is known to have it was busy, and another one was tried meanwhile.
            if let member = core.member(having: token) {
                request.member = member
                let lease = try await grant(request)
                // It may have been started anew meanwhile, and be behind.
                let end = min(deadline, core.clock.now + maximumWait)
                if try await hasReplayed(lease, token, until: end) { return try await use(lease, body) }
                try lease.release()
            }
            throw failure(.tokenNotReached, "no replica had replayed what the token stands for within \(maximumWait)")
        }
        request.wants = .primary
        request.prefers = nil
        return try await use(try await grant(request), body)
    }

    /// A connection for a read under the configuration's policy; nil for what that is not about.
    @usableFromInline
    func acquireFresh(_ request: AcquireRequest) async throws(ClusterError) -> Lease<Driver.Connection>? {
        guard let policy = core.configuration.staleness, request.wants == .reads, request.member == nil,
            request.filter == nil
        else { return nil }
        let rule = ReadRule(
            limit: policy.limit,
            fallbackPrimary: request.fallback.contains(.primary),
            usesStaleReplicas: policy.usesStaleReplicas
        )
        return try await acquire(request, under: rule)
    }

    /// A connection to a host that the rule has, as of the moment that it is granted.
    private func acquire(
        _ request: AcquireRequest,
        under rule: ReadRule
    ) async throws(ClusterError) -> Lease<Driver.Connection> {
        let use = core.freshness.use(rule, now: core.clock.now)
        defer { core.freshness.endUse(use.number) }
        var request = request
        request.fallback = .primary
        request.filter = use.filter
        do throws(ClusterError) {
            return try await grant(request)
        } catch {
            guard error.code == .acquireTimedOut, core.freshness.hosts(of: use.number).isEmpty else { throw error }
            let lags = core.snapshot().hosts.compactMap { host in
                host.role == .replica ? "\(host.host): \(host.lag.map { "\($0)" } ?? "not known")" : nil
            }
            throw failure(
                .noReplica,
                "no replica kept the limit of \(rule.limit) before the deadline; lags: \(lags.joined(separator: ", "))",
                pool: error.pool
            )
        }
    }

    /// Whoever brings a token of a timeline that is not known here has seen a failover before us. That alone is no proof: a
    /// token may come from a stranger.
    private func awaitTimeline(of token: CommitToken, until deadline: ContinuousClock.Instant)
        async throws(ClusterError)
    {
        switch core.freshness.standing(of: token) {
        case .known: return
        case .foreign(let ours):
            let theirs = token.systemIdentifier ?? 0
            throw ClusterError(
                .foreignToken,
                message:
                    "the token is of another cluster: its system identifier is \(theirs), this cluster's is \(ours)"
            )
        case .ahead: break
        }
        core.suspectAll()
        switch await core.freshness.wait(for: token.timeline ?? 0, until: deadline, clock: core.clock) {
        case .met: return
        case .timedOut:
            throw failure(.tokenNotReached, "no server on the token's timeline was heard of before the deadline")
        case .cancelled:
            throw ClusterError(.cancelled, message: "the task was cancelled while it waited for a timeline")
        case .closed: throw ClusterError(.closed, message: "the cluster is closed")
        }
    }

    /// Whether the server on the other end has what the token stands for, waiting for it if it is a replica.
    private func hasReplayed(
        _ lease: borrowing Lease<Driver.Connection>,
        _ token: CommitToken,
        until deadline: ContinuousClock.Instant
    ) async throws(ClusterError) -> Bool {
        guard let host = core.record(of: lease.member) else { return false }
        // The highest timeline, at least the token's: what it does not have is lost.
        if host.serves.contains(.primary) { return true }
        guard let report = host.report else { return false }
        if token.isReached(by: report.position, timeline: report.timeline) { return true }
        if let theirs = token.timeline, let ours = report.timeline, ours < theirs { return false }
        do {
            return try await core.driver.waitForReplay(lease.connection, of: token, deadline: deadline)
        } catch {
            // Nothing of the caller's ran there: the primary is asked instead.
            guard !Task.isCancelled else {
                throw ClusterError(.cancelled, message: "the task was cancelled while a replica was catching up")
            }
            return false
        }
    }
}

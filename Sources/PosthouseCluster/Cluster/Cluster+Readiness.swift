// SPDX-License-Identifier: Apache-2.0

import PosthousePool

extension Cluster {
    // MARK: - Readiness

    /// Waits until that many primaries and replicas can be used; without counts, until every host can that is not
    /// drained.
    ///
    /// - Parameters:
    ///   - primaries: The least number of primaries, 0 or 1.
    ///   - replicas: The least number of replicas.
    ///   - timeout: The most to wait. Default: 10 s.
    /// - Throws: ``ClusterError`` with code `invalidArgument` for half-given or negative counts, or `notReady`,
    ///   `cancelled`, `closed`.
    public func ready(
        primaries: Int? = nil,
        replicas: Int? = nil,
        timeout: Duration = .seconds(10)
    ) async throws(ClusterError) {
        switch (primaries, replicas) {
        case (nil, nil):
            try await wait(until: core.clock.now + timeout, "all \(core.activeEndpoints.count) hosts") {
                $0.isComplete
            }
        case (let primaries?, let replicas?) where primaries >= 0 && replicas >= 0:
            let wanted = "\(primaries) primaries and \(replicas) replicas"
            try await wait(until: core.clock.now + timeout, wanted) {
                $0.primaries >= primaries && $0.replicas >= replicas
            }
        default:
            throw ClusterError(.invalidArgument, message: "ready needs both counts or none, and none negative")
        }
    }

    /// Waits until every host can be used that is not drained: ``ready(primaries:replicas:timeout:)`` without counts.
    ///
    /// - Parameter timeout: The most to wait. Default: 10 s.
    /// - Throws: ``ClusterError`` with code `notReady`, `cancelled`, `closed`.
    public func waitAllReady(timeout: Duration = .seconds(10)) async throws(ClusterError) {
        try await ready(timeout: timeout)
    }

    /// Waits until there is a primary.
    ///
    /// - Parameters:
    ///   - count: The least number of primaries; more than 1 is never reached. Default: 1.
    ///   - timeout: The most to wait. Default: 10 s.
    /// - Throws: ``ClusterError`` with code `invalidArgument` for a negative count, `notReady`, `cancelled`, `closed`.
    public func waitPrimariesReady(_ count: Int = 1, timeout: Duration = .seconds(10)) async throws(ClusterError) {
        try await ready(primaries: count, replicas: 0, timeout: timeout)
    }

    /// Waits until so many replicas can be used.
    ///
    /// - Parameters:
    ///   - count: The least number of replicas. Default: 1.
    ///   - timeout: The most to wait. Default: 10 s.
    /// - Throws: ``ClusterError`` with code `invalidArgument` for a negative count, `notReady`, `cancelled`, `closed`.
    public func waitReplicasReady(_ count: Int = 1, timeout: Duration = .seconds(10)) async throws(ClusterError) {
        try await ready(primaries: 0, replicas: count, timeout: timeout)
    }

    /// Waits until every host has finished a check that began after this call, however it ended. The checks begin at once.
    ///
    /// - Parameter timeout: The most to wait. Default: 10 s.
    /// - Throws: ``ClusterError`` with code `notReady`, `cancelled`, `closed`.
    public func waitNextCheck(timeout: Duration = .seconds(10)) async throws(ClusterError) {
        let called = core.clock.now
        core.checkNow()
        let outcome = await core.checks.wait(
            until: called + timeout,
            clock: core.clock,
            current: { self.core.oldestCheck },
            { $0.map { $0 >= called } ?? false }
        )
        try report(outcome, "a check of every host was not over within \(timeout)")
    }

    // MARK: - Which hosts

    /// The host that a request would be served by now; waits until there is one.
    ///
    /// - Parameters:
    ///   - readOnly: Whether a replica is wanted. Default: the primary.
    ///   - fallbackPrimary: Whether the primary counts while no replica is there. Default: the configuration's.
    ///   - timeout: The most to wait. Default: the configuration's `acquireTimeout`.
    /// - Returns: Among several the one with the most free connections.
    /// - Throws: ``ClusterError``: `invalidArgument` for a fallback of a write, `noPrimary`, `noReplica`, `noHostReachable`,
    ///   `cancelled`, `closed`.
    public func pool(
        readOnly: Bool = false,
        fallbackPrimary: Bool? = nil,
        timeout: Duration? = nil
    ) async throws(ClusterError) -> ClusterSnapshot.Host {
        if !readOnly && fallbackPrimary != nil {
            throw ClusterError(.invalidArgument, message: "fallbackPrimary is for reads; a write has only the primary")
        }
        let hosts =
            readOnly
            ? try await replicaPools(fallbackPrimary: fallbackPrimary, timeout: timeout)
            : try await primaryPools(timeout: timeout)
        guard let host = hosts.max(by: { $0.pool.free < $1.pool.free }) else {
            throw failure(readOnly ? .noReplica : .noPrimary, "the host went away at this moment")
        }
        return host
    }

    /// The host that takes writes; waits until there is one.
    ///
    /// - Parameter timeout: The most to wait. Default: the configuration's `acquireTimeout`.
    /// - Returns: Never nothing.
    /// - Throws: ``ClusterError``: `noPrimary`, `noHostReachable`, `cancelled`, `closed`.
    public func primaryPools(timeout: Duration? = nil) async throws(ClusterError) -> [ClusterSnapshot.Host] {
        try await hosts(timeout, .noPrimary, "primary", { $0.primaries > 0 }, { $0.primaries })
    }

    /// The hosts that take reads; waits until there is one.
    ///
    /// - Parameters:
    ///   - fallbackPrimary: Whether the primary counts while no replica is there. Default: the configuration's.
    ///   - timeout: The most to wait. Default: the configuration's `acquireTimeout`.
    /// - Returns: Never nothing.
    /// - Throws: ``ClusterError``: `noReplica`, `noHostReachable`, `cancelled`, `closed`.
    public func replicaPools(
        fallbackPrimary: Bool? = nil,
        timeout: Duration? = nil
    ) async throws(ClusterError) -> [ClusterSnapshot.Host] {
        let fallback = fallbackPrimary ?? core.configuration.fallbackPrimary
        return try await hosts(timeout, .noReplica, "replica", { $0.replicas > 0 || fallback && $0.primaries > 0 }) {
            $0.replicas.isEmpty && fallback ? $0.primaries : $0.replicas
        }
    }

    private func hosts(
        _ timeout: Duration?,
        _ code: ClusterError.Code,
        _ role: String,
        _ condition: @escaping @Sendable (ReadinessCount) -> Bool,
        _ choose: (ClusterSnapshot) -> [ClusterSnapshot.Host]
    ) async throws(ClusterError) -> [ClusterSnapshot.Host] {
        let timeout = timeout ?? core.configuration.acquireTimeout
        let deadline = core.clock.now + timeout
        while true {
            let found = choose(snapshot())
            if !found.isEmpty { return found }
            // What was met may be gone when it is looked at: then once more.
            let outcome = await core.changes.wait(
                until: deadline,
                clock: core.clock,
                current: { self.core.readiness },
                condition
            )
            if case .timedOut = outcome {
                let answers = snapshot().hosts.contains { [.up, .busy, .starting, .quarantined].contains($0.state) }
                guard answers else { throw failure(.noHostReachable, "no host could be reached within \(timeout)") }
                throw failure(code, "no \(role) within \(timeout)")
            }
            try report(outcome, "no \(role)")
        }
    }

    private func wait(
        until deadline: ContinuousClock.Instant,
        _ wanted: String,
        _ condition: @escaping @Sendable (ReadinessCount) -> Bool
    ) async throws(ClusterError) {
        let timeout = core.clock.now.duration(to: deadline)
        let outcome = await core.changes.wait(
            until: deadline,
            clock: core.clock,
            current: { self.core.readiness },
            condition
        )
        try report(outcome, "\(wanted) were not ready within \(timeout)")
    }

    private func report<Value>(
        _ outcome: ConditionQueue<Value>.Outcome,
        _ message: String
    ) throws(ClusterError) {
        switch outcome {
        case .met: return
        case .timedOut: throw failure(.notReady, message)
        case .cancelled: throw ClusterError(.cancelled, message: "the task was cancelled while it waited for hosts")
        case .closed: throw ClusterError(.closed, message: "the cluster is closed")
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// Pools of several hosts behind one wait queue: a request waits for a *service*, and takes whichever member can serve it
/// first.
///
/// Among the members that serve a request the one with the most free capacity (idle, or not yet opened) is taken, a random
/// one among equals. If another one has an idle connection and that one has not, the idle one is taken and a connection is
/// opened there for later. Requests that wait are served in the order they came; a connection that comes back goes
/// straight to the first request it can serve.
///
/// The group runs by itself and stops at ``close(deadline:)`` or ``terminate()``; dropped without either it stops too, and
/// tells its observer.
public final class PoolGroup<Connection: Sendable>: Sendable {
    @usableFromInline let core: PoolCore

    /// A group without members. Requests wait until one is added that serves them.
    public init(
        configuration: PoolGroupConfiguration = PoolGroupConfiguration(),
        time: any TimeSource = SystemTime(),
        observer: (any PoolObserver)? = nil
    ) {
        core = PoolCore(configuration: configuration, time: time, observer: observer)
    }

    /// - Throws: ``PoolError/Code/invalidConfiguration`` for limits out of range.
    package convenience init(
        validating configuration: PoolGroupConfiguration,
        time: any TimeSource,
        observer: (any PoolObserver)?
    ) throws(PoolError) {
        try configuration.validate()
        self.init(configuration: configuration, time: time, observer: observer)
    }

    deinit {
        core.dropped()
    }

    /// Adds a member. It serves nothing until ``setServices(_:for:)``.
    ///
    /// - Parameter label: Its name in errors and events, for example "db1:5432".
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for limits out of range.
    public func addMember(
        label: String,
        configuration: PoolConfiguration,
        strategy: some ConnectionStrategy<Connection>,
        hooks: PoolHooks<Connection> = PoolHooks()
    ) throws(PoolError) -> MemberID {
        try configuration.validate()
        let opener = StrategyOpener(strategy: strategy, hooks: hooks)
        return core.addMember(label: label, configuration: configuration, opener: opener)
    }

    /// Says what the member serves from now on; `[]` gives it no traffic.
    ///
    /// Requests that became servable by it are served at once from its idle connections, in the order they came, and
    /// connects start for the others. Leased connections stay leased.
    public func setServices(_ services: ServiceClass, for member: MemberID) {
        core.setServices(services, for: member)
    }

    /// Cuts the member off: it serves nothing until ``setServices(_:for:)``; every permit of its current leases is denied
    /// from now on; idle connections are closed now, leased ones are interrupted now and closed when they come back; one
    /// that is being opened is closed when it arrives.
    public func fence(_ member: MemberID) {
        core.fence(member)
    }

    /// Takes the member out of the group for good: it serves nothing any more, whatever is said of it later; idle connections
    /// are closed now, leased ones when they come back, one that is being opened when it arrives. Permits stay valid.
    ///
    /// Requests that wait for this member alone fail with ``PoolError/Code/unavailable``, and so do later ones. Snapshots show
    /// it, marked as removed, until its last connection is closed. A host that comes back is added anew.
    public func removeMember(_ member: MemberID) {
        core.removeMember(member)
    }

    /// Makes a filter: requests that name it (``AcquireRequest/filter``) are served by these members only.
    ///
    /// Requests with the same filter wait in one line, so share one among many requests if you can. The fallbacks of a
    /// request are for the members of its filter, too: they are taken while none *of these* serves what is wanted.
    ///
    /// - Returns: The filter, until ``removeFilter(_:)``.
    public func addFilter(_ members: some Sequence<MemberID>) -> MemberFilter {
        core.addFilter(Array(members))
    }

    /// Changes which members a filter has. Requests that became servable are served at once from idle connections, in the
    /// order they came, and connects start for the others. Leased connections stay leased.
    ///
    /// Nothing happens if the filter was removed.
    public func setFilter(_ filter: MemberFilter, members: some Sequence<MemberID>) {
        core.setFilter(filter, members: Array(members))
    }

    /// Ends a filter: from now on nobody serves requests that name it. Those that wait go on until their deadline.
    public func removeFilter(_ filter: MemberFilter) {
        core.removeFilter(filter)
    }

    /// Replaces the member's connections: idle ones are closed now, leased ones when they come back, one that is being
    /// opened when it arrives. Permits stay valid.
    public func expire(_ member: MemberID) {
        core.expire(member)
    }

    /// Changes the member's limits. Idle connections above the soft limit are closed at once, leased ones when they come
    /// back; new room serves waiting requests at once.
    ///
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for a size below 1 or above the burst limit.
    public func resize(_ member: MemberID, maximumSize: Int, burstLimit: Int? = nil) throws(PoolError) {
        try PoolConfiguration.validate(maximumSize: maximumSize, burstLimit: burstLimit)
        core.resize(member, maximumSize: maximumSize, hardLimit: burstLimit ?? maximumSize)
    }

    /// Replaces the member's configuration. Limits take effect as by ``resize(_:maximumSize:burstLimit:)``, the rest from now
    /// on; what a connection was told when it was opened (its lifetime, its maximum of uses, whether it is always validated)
    /// stays as it was.
    ///
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for limits out of range; then nothing has changed.
    public func reconfigure(_ member: MemberID, _ configuration: PoolConfiguration) throws(PoolError) {
        try configuration.validate()
        core.reconfigure(member, configuration)
    }

    /// Opens the connections that the members which are in service are to keep (``PoolConfiguration/minimumSize``, at least
    /// one each), for a start that fails at once if something is wrong: the first connect that fails ends it.
    ///
    /// To be called before there is traffic: it leases those connections for a moment.
    ///
    /// - Parameter deadline: When to give up; default `nil`: the acquire timeout from now.
    /// - Throws: ``PoolError``: `connectFailed`, `timedOut`, `closed`, `cancelled`.
    public nonisolated(nonsending) func warmUp(deadline: ContinuousClock.Instant? = nil) async throws(PoolError) {
        try await core.warmUp(deadline: deadline.map { Moment($0) })
    }

    /// Leases a connection. Suspends only if none that would do is idle.
    ///
    /// A cancelled task does not wait: it gets an idle connection, or ``PoolError/Code/cancelled``. A task that is
    /// cancelled while it waits gets that error even if a connection was just granted; that goes to the next request.
    ///
    /// - Throws: ``PoolError``: `timedOut`, `closed`, `cancelled`, `exhausted`, `connectFailed`, `unavailable`, `overloaded`,
    ///   `hookFailed`.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(
        _ request: AcquireRequest = AcquireRequest(),
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(PoolError) -> Lease<Connection> {
        let site = request.site ?? AcquireSite(fileID: fileID, line: line)
        let grant = try core.take(request)
        if let grant, !grant.needsPreparation { return Lease(grant, of: Connection.self, at: site) }
        return Lease(try await core.wait(for: request, found: grant), of: Connection.self, at: site)
    }

    /// Leases a connection if one that would do is idle. Never suspends, never opens one.
    ///
    /// - Returns: `nil` if none is idle, or if there is something to do before the idle one may be handed out (validation, a
    ///   hook).
    /// - Throws: ``PoolError``: `closed`; `cancelled` if the strategy's check said so.
    public func tryAcquire(
        _ request: AcquireRequest = AcquireRequest(),
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) throws(PoolError) -> Lease<Connection>? {
        guard let grant = try core.take(request) else { return nil }
        if grant.needsPreparation {
            grant.giveBackReporting()
            return nil
        }
        return Lease(grant, of: Connection.self, at: request.site ?? AcquireSite(fileID: fileID, line: line))
    }

    /// Leases several connections together: all of them or, at the deadline, none. Of two such requests the earlier one is
    /// served first, so that neither waits for what the other one holds.
    ///
    /// - Parameter count: How many; at least 1, and not more than the members' hard limits together.
    /// - Throws: As ``acquire(_:fileID:line:)``; ``PoolError/Code/invalidConfiguration`` for a count that can never be had.
    public nonisolated(nonsending) func acquire(
        count: Int,
        _ request: AcquireRequest = AcquireRequest(),
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(PoolError) -> LeaseBatch<Connection> {
        let site = request.site ?? AcquireSite(fileID: fileID, line: line)
        return LeaseBatch(try await core.takeTogether(count, request), of: Connection.self, at: site)
    }

    /// Leases a connection for the time that `body` runs.
    ///
    /// - Throws: What `body` throws; ``PoolError`` if there was no connection; what closing the connection threw if the
    ///   pool did not keep it and `body` did not throw (else that goes to the observer).
    @inlinable @inline(__always)
    public nonisolated(nonsending) func withConnection<Result: ~Copyable>(
        _ request: AcquireRequest = AcquireRequest(),
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: nonisolated(nonsending) (Connection) async throws -> Result
    ) async throws -> Result {
        let lease = try await acquire(request, fileID: fileID, line: line)
        let result = try await body(lease.connection)
        try lease.release()
        return result
    }

    /// What the group looks like now.
    public func snapshot() -> PoolSnapshot {
        core.snapshot()
    }

    /// How much each member is used, in the order they were added. Cheaper than a snapshot.
    public func activity() -> [PoolActivity] {
        core.activity()
    }

    /// How often the member has answered on its connections, open or closed, as far as its strategy counts that
    /// (``ConnectionStrategy/answers(on:)``). It only grows.
    public func answers(of member: MemberID) -> UInt64 {
        core.answers(of: member)
    }

    /// Closes the group gracefully: refuses new requests and fails the waiting ones (``PoolError/Code/closed``), closes
    /// idle connections now and leased ones as they come back.
    ///
    /// Returns when all are closed, or when `deadline` has passed: then the rest is interrupted as by ``terminate()``. A
    /// second call waits for the same end; the earliest deadline counts. Cancelling the calling task counts as its deadline.
    ///
    /// - Parameter deadline: Default `nil`: waits as long as it takes.
    /// - Returns: How many connections were still leased at the end.
    @discardableResult
    public nonisolated(nonsending) func close(deadline: ContinuousClock.Instant? = nil) async -> Int {
        await core.close(deadline: deadline.map { Moment($0) })
    }

    /// Closes the group at once: as ``close(deadline:)`` with a deadline that has passed, without waiting for anything.
    /// Leased connections are interrupted, their permits denied, and closed when they come back.
    public func terminate() {
        core.terminate()
    }
}

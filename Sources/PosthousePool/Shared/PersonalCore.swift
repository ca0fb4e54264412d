// SPDX-License-Identifier: Apache-2.0

import CTask
import PosthouseBase

/// Who has which connection: for each owner a pool of one, made for its first scope and closed with its owner.
final class PersonalCore<Strategy: ConnectionStrategy>: Sendable {
    /// Of each there is one flow of control: an owner never does two things at the same time.
    enum Owner: Hashable, Sendable {
        /// By the number that the runtime gives to one task only.
        case task(UInt64)
        case thread(ObjectIdentifier)

        /// Only in asynchronous functions, where there always is one.
        static var currentTask: Owner { .task(ctask_current_number()) }
    }

    /// What an outermost scope holds.
    struct Lent: Sendable {
        let connection: Strategy.Connection
        let permit: LeasePermit
    }

    enum Entry: Sendable {
        case outer(ConnectionPool<Strategy>)
        /// The owner is within a scope already.
        case inner(Lent)
    }

    private struct Place {
        let pool: ConnectionPool<Strategy>
        /// Within an outermost scope: from before it has its connection until after it gave it back.
        var isUsed = false
        var lent: Lent?
        /// Lifetimes that the task is in.
        var lifetimes = 0
        /// When an idle task is taken for ended.
        var due: Moment?
    }

    private struct State {
        var places: [Owner: Place] = [:]
        var isClosed = false
        /// Waits for places to be due, while there may be one.
        var sweeper: Task<Void, Never>?
    }

    private let strategy: Strategy
    private let configuration: PoolConfiguration
    private let lingering: Duration
    private let time: any TimeSource
    private let observer: (any PoolObserver)?
    private let state = Guarded(State())

    init(
        strategy: Strategy,
        configuration: PoolConfiguration,
        lingering: Duration,
        time: any TimeSource,
        observer: (any PoolObserver)?
    ) {
        self.strategy = strategy
        self.configuration = configuration
        self.lingering = lingering
        self.time = time
        self.observer = observer
    }

    private var now: Moment { Moment(time.now) }

    var isClosed: Bool { state.withLock { $0.isClosed } }

    // MARK: - Scopes

    /// An owner begins a scope. Every `outer` is followed by ``leave(_:)``.
    func enter(_ owner: Owner) throws(PoolError) -> Entry {
        try state.withLock { state throws(PoolError) in
            if let lent = state.places[owner]?.lent { return .inner(lent) }
            var place = try place(of: owner, in: state)
            place.isUsed = true
            place.due = nil
            state.places[owner] = place
            return .outer(place.pool)
        }
    }

    private func place(of owner: Owner, in state: State) throws(PoolError) -> Place {
        if state.isClosed {
            throw PoolError(code: .closed, message: "the pool \(configuration.name) is closed")
        }
        if let place = state.places[owner] { return place }
        let pool = try ConnectionPool(
            strategy: strategy,
            configuration: configuration,
            time: time,
            observer: observer
        )
        return Place(pool: pool)
    }

    /// The owner's outermost scope has its connection.
    func lent(_ connection: Strategy.Connection, _ permit: LeasePermit, to owner: Owner) {
        state.withLock { $0.places[owner]?.lent = Lent(connection: connection, permit: permit) }
    }

    /// The owner's outermost scope has ended, and its connection is back in the owner's pool.
    func leave(_ owner: Owner) {
        let now = now
        let ended = state.withLock { state -> ConnectionPool<Strategy>? in
            state.places[owner]?.lent = nil
            state.places[owner]?.isUsed = false
            return state.isClosed ? state.places.removeValue(forKey: owner)?.pool : settle(owner, at: now, &state)
        }
        ended?.terminate()
    }

    func beginLifetime(_ owner: Owner) throws(PoolError) {
        try state.withLock { state throws(PoolError) in
            var place = try place(of: owner, in: state)
            place.lifetimes += 1
            place.due = nil
            state.places[owner] = place
        }
    }

    func endLifetime(_ owner: Owner) {
        let ended = state.withLock { state -> ConnectionPool<Strategy>? in
            // Gone if the pool was closed meanwhile.
            state.places[owner]?.lifetimes -= 1
            guard let place = state.places[owner], place.lifetimes == 0, !place.isUsed else { return nil }
            state.places[owner] = nil
            return place.pool
        }
        ended?.terminate()
    }

    /// What becomes of a place that is not used any more.
    ///
    /// - Returns: Its pool, if that is to be closed.
    private func settle(_ owner: Owner, at now: Moment, _ state: inout State) -> ConnectionPool<Strategy>? {
        guard case .task = owner, let place = state.places[owner], place.lifetimes == 0 else { return nil }
        if lingering == .zero {
            state.places[owner] = nil
            return place.pool
        }
        state.places[owner]?.due = now + lingering
        if state.sweeper == nil {
            let executor = time.workExecutor
            state.sweeper = Task.detached(name: "posthouse personal pool", executorPreference: executor) { [self] in
                await sweep()
            }
        }
        return nil
    }

    // MARK: - Ends

    private func sweep() async {
        while true {
            let now = now
            let (ended, next) = state.withLock { state in
                let due = state.places.filter { $0.value.due.map { $0 <= now } ?? false }
                for owner in due.keys { state.places[owner] = nil }
                let next = state.places.values.compactMap(\.due).min()
                if next == nil { state.sweeper = nil }
                return (due.values.map(\.pool), next)
            }
            for pool in ended { pool.terminate() }
            guard let next else { return }
            // Not for each one: tasks may end by the thousand.
            let wake = max(next, now + lingering / 8)
            do {
                try await time.sleep(until: wake.instant)
            } catch {
                // A clock that stopped must not keep connections open.
                if Task.isCancelled { return }
                guard (try? await SystemTime().sleep(until: wake.instant)) != nil else { return }
            }
        }
    }

    /// Refuses new outermost scopes.
    ///
    /// - Returns: The pools that are to be closed. Those in use stay known until they are not, for scopes within scopes and for
    ///   a second call.
    func close() -> [ConnectionPool<Strategy>] {
        let (pools, sweeper) = state.withLock { state in
            state.isClosed = true
            let pools = state.places.values.map(\.pool)
            state.places = state.places.filter { $0.value.isUsed }
            defer { state.sweeper = nil }
            return (pools, state.sweeper)
        }
        sweeper?.cancel()
        return pools
    }

    /// The pools of owners that are still there end with this object; each tells the observer.
    func poolDropped() {
        let sweeper = state.withLock { state in
            state.isClosed = true
            return state.sweeper
        }
        sweeper?.cancel()
    }

    func status() -> PersonalPoolStatus {
        let places = state.withLock { $0.places.map { (owner: $0.key, pool: $0.value.pool) } }
        var status = PersonalPoolStatus(tasks: 0, threads: 0, size: 0, available: 0, leased: 0)
        for (owner, pool) in places {
            if case .task = owner { status.tasks += 1 } else { status.threads += 1 }
            let one = pool.status()
            status.size += one.size
            status.available += one.available
            status.leased += one.leased
        }
        return status
    }
}

extension PersonalCore: ThreadFollower {
    func threadEnded(_ thread: ThreadLife) {
        let ended = state.withLock { $0.places.removeValue(forKey: .thread(ObjectIdentifier(thread)))?.pool }
        ended?.terminate()
    }
}

/// Carries a lease from the task that took it to the thread that waits for it.
final class LeaseHandover<Connection: Sendable>: Sendable {
    private let lease = Guarded<Lease<Connection>?>(nil)

    func put(_ lease: consuming Lease<Connection>) {
        var lease: Lease<Connection>? = lease
        self.lease.withLock { place in
            place = lease.take()
        }
    }

    func take() -> Lease<Connection>? {
        lease.withLock { $0.take() }
    }
}

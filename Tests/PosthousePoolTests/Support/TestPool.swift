// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// A pool with everything that a test of it needs in its hands.
struct TestPool: Sendable {
    let time = ManualTime()
    let strategy: ScriptedStrategy
    let observer: RecordingObserver
    let pool: ConnectionPool<ScriptedStrategy>

    init(
        _ maximumSize: Int = 1,
        strategy: ScriptedStrategy = ScriptedStrategy(),
        hooks: PoolHooks<FakeConnection> = PoolHooks(),
        queue: PoolGroupConfiguration? = nil,
        wantsUses: Bool = false,
        _ configure: (inout PoolConfiguration) -> Void = { _ in }
    ) throws {
        var configuration = PoolConfiguration(maximumSize: maximumSize, name: "test")
        configure(&configuration)
        self.strategy = strategy
        observer = RecordingObserver(wantsUses: wantsUses)
        // One stripe, so that it does not depend on the thread which of the idle connections is next. `OpenIdleTests` and the
        // soak have as many as the machine would.
        var queue = queue ?? PoolGroupConfiguration(of: configuration)
        queue.stripes = Stripes(processors: 1)
        pool = try ConnectionPool(
            strategy: strategy,
            configuration: configuration,
            queue: queue,
            hooks: hooks,
            time: time,
            observer: observer
        )
    }

    var core: PoolCore { pool.group.core }
    var status: PoolStatus { pool.status() }

    /// Another task that asks for a connection and keeps it until it is told to `end`. Returns once it waits, or has it.
    func holder(deadline: ContinuousClock.Instant? = nil) -> Holder {
        Holder { try await self.pool.acquire(deadline: deadline) }
    }

    /// As `holder`, once it waits in the queue.
    func waiter(deadline: ContinuousClock.Instant? = nil) async throws -> Holder {
        let before = status.waiting
        let holder = holder(deadline: deadline)
        try await eventually("it waits") { status.waiting > before }
        return holder
    }

    /// Whether a connection is idle, found out by taking it (and giving it back).
    func takesAtOnce() throws -> Bool {
        guard let lease = try pool.tryAcquire() else { return false }
        try lease.release()
        return true
    }

    /// So many idle connections.
    func warmUp(_ count: Int) async throws {
        var holders: [Holder] = []
        for _ in 0..<count {
            let holder = holder()
            try await eventually("it holds a connection") { holder.isHolding }
            holders.append(holder)
        }
        for holder in holders { try await holder.end() }
        try await eventually("all are idle") { status.available == count }
    }

    /// Time passes in steps, and what is due after each of them is done.
    func elapse(_ duration: Duration, in steps: Int = 1) async throws {
        for _ in 0..<steps {
            time.advance(by: duration / steps)
            let now = Moment(time.now)
            try await eventually("the alarm has rung") { core.nextAlarm.map { $0 > now } ?? true }
        }
    }

    /// Nothing is lost, and nothing breaks the machine's rules.
    func expectAtRest(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await eventually("everything comes to rest", sourceLocation: sourceLocation) {
            let status = status
            // What is being tended is open, and not idle.
            return status.leased == 0 && status.waiting == 0 && status.connecting == 0 && status.closing == 0
                && status.available == status.size
        }
        try await eventually("sockets are the connections that the pool knows", sourceLocation: sourceLocation) {
            strategy.counts.live == status.size
        }
        #expect(core.violations == [], sourceLocation: sourceLocation)
        #expect(strategy.counts.overlaps == 0, sourceLocation: sourceLocation)
    }
}

extension PoolCore {
    var violations: [String] { state.withLock { $0.machine.violations } }
    var nextAlarm: Moment? { state.withLock { $0.machine.armed } }
    var hasAlarm: Bool { state.withLock { $0.alarm != nil } }
    var waiterPlaces: Int { state.withLock { max($0.waiters.count, $0.machine.queue.capacity) } }
    /// Connects and other work of the pool's own that were told to end, and go on.
    var lateWork: Int {
        state.withLock { state in
            state.machine.members.reduce(0) { $0 + $1.abandoned }
                + state.machine.tables.reduce(0) { $0 + $1.slots.count(where: \.isOverdue) }
        }
    }
    var slotPlaces: Int { state.withLock { $0.machine.tables.reduce(0) { $0 + $1.slots.count } } }
}

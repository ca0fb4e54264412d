// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import PosthousePostgres

/// Counts sessions as the server does: from the moment that one is asked for until the server has ended it. That is a little
/// later than the moment at which a pool has closed its connection and may open another; at the limit that one waits here, so
/// that the server never sees more sessions than the pool may have.
final class SessionGate: Sendable {
    private struct State {
        var limit: Int
        var sessions = 0
    }

    private static let currentPatience = Guarded(Duration.seconds(1))

    /// How long a session that was closed here is watched. A server whose process lives on after that runs a statement, or is
    /// out of reach; or the machine is slow, which is why tests that count sessions set it.
    static var patience: Duration {
        get { currentPatience.withLock { $0 } }
        set { currentPatience.withLock { $0 = newValue } }
    }

    /// Kept so that nothing else can be at its address as long as the gate is known by that.
    private let budget: ConnectionBudget?
    private let state: Guarded<State>

    init(limit: Int, budget: ConnectionBudget? = nil) {
        self.budget = budget
        state = Guarded(State(limit: limit))
    }

    func setLimit(_ limit: Int) {
        state.withLock { $0.limit = limit }
    }

    /// A session is to be opened. Waits for one that has to end first, if the server is quick about it; one that runs a
    /// statement which nobody waits for any more may take its time, and is not waited for any longer.
    func enter(until deadline: ContinuousClock.Instant) async {
        let now = ContinuousClock.now
        // Not all of the time that there is: the session is to be opened yet.
        let end = now + min(Self.patience, max(.zero, deadline - now) / 2)
        while !enter(orNot: !Task.isCancelled && .now < end) {
            try? await Task.sleep(for: FarEnds.interval)
        }
    }

    private func enter(orNot mayRefuse: Bool) -> Bool {
        state.withLock { state in
            if mayRefuse, state.sessions >= state.limit { return false }
            state.sessions += 1
            return true
        }
    }

    func leave() {
        state.withLock { $0.sessions -= 1 }
    }

    // MARK: - A budget's gates

    private struct Known {
        weak var gate: SessionGate?
    }

    private static let known = Guarded<[ObjectIdentifier: Known]>([:])

    /// The one gate of all pools that share the budget.
    static func shared(by budget: ConnectionBudget) -> SessionGate {
        known.withLock { known in
            if let gate = known[ObjectIdentifier(budget)]?.gate { return gate }
            let gate = SessionGate(limit: budget.limit, budget: budget)
            known = known.filter { $0.value.gate != nil }
            known[ObjectIdentifier(budget)] = Known(gate: gate)
            return gate
        }
    }
}

extension DatabaseConnection {
    /// Opens a connection that counts at these gates.
    static func opened(
        through gates: [SessionGate],
        until deadline: ContinuousClock.Instant,
        _ open: () async throws -> DatabaseConnection
    ) async throws -> DatabaseConnection {
        for gate in gates { await gate.enter(until: deadline) }
        let leave: @Sendable () -> Void = { for gate in gates { gate.leave() } }
        let connection: DatabaseConnection
        do {
            connection = try await open()
        } catch {
            leave()
            throw error
        }
        let aftermath = Aftermath { end in
            if let end { FarEnds.shared.watch(end, then: leave) } else { leave() }
        }
        // It was closed, or is in another pool, which counts it.
        if !connection.tell(aftermath) { leave() }
        return connection
    }
}

/// Watches over sessions that are closed here, until the server has ended them.
private final class FarEnds: Sendable {
    static let shared = FarEnds()

    static let interval = Duration.milliseconds(1)

    private struct Entry {
        let end: FarEnd
        let deadline: Moment
        let then: @Sendable () -> Void
    }

    private struct State {
        var entries: [Entry] = []
        var isSweeping = false
    }

    private let state = Guarded(State())

    func watch(_ end: FarEnd, then: @escaping @Sendable () -> Void) {
        let entry = Entry(end: end, deadline: .now + SessionGate.patience, then: then)
        let isAlone = state.withLock { state in
            state.entries.append(entry)
            defer { state.isSweeping = true }
            return !state.isSweeping
        }
        guard isAlone else { return }
        Task.detached(name: "posthouse closed sessions") {
            while self.sweep() { try? await Task.sleep(for: Self.interval) }
        }
    }

    /// - Returns: Whether some are left.
    private func sweep() -> Bool {
        let now = Moment.now
        let (ended, isDone) = state.withLock { state in
            let ended = state.entries.filter { $0.end.hasEnded || $0.deadline <= now }
            if !ended.isEmpty {
                state.entries.removeAll { entry in ended.contains { $0.end === entry.end } }
            }
            if state.entries.isEmpty { state.isSweeping = false }
            return (ended, state.entries.isEmpty)
        }
        for entry in ended { entry.then() }
        return !isDone
    }
}

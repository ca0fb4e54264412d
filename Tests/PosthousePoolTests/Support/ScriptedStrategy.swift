// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// A connection that is only a number.
final class FakeConnection: Sendable {
    let number: Int
    let slot: PoolSlot

    init(number: Int, slot: PoolSlot) {
        self.number = number
        self.slot = slot
    }
}

struct ScriptedError: Error, Equatable {
    let what: String
}

/// What a scripted strategy does when it is called.
enum Gate: CaseIterable, Sendable {
    case ok
    case error
    /// It goes on when the test says so (`ScriptedStrategy.open`), and is deaf to cancellation.
    case slow
    /// It goes on, and fails, only when its task is cancelled.
    case never
}

/// A strategy that does what the test says, and counts like a server: sockets that are open, opening or closing.
final class ScriptedStrategy: ConnectionStrategy {
    struct Counts {
        var creates = 0
        var opened = 0
        var failed = 0
        var closed = 0
        var dropped = 0
        var checks = 0
        /// Connects that wait at a gate.
        var opening = 0
        var live = 0
        var mostLive = 0
        /// Calls for a connection while another one for it was running.
        var overlaps = 0
    }

    private struct State {
        var counts = Counts()
        var connect: [Gate] = []
        var connectDefault = Gate.ok
        var gates: [CheckedContinuation<Void, Never>] = []
        var dead: Set<Int> = []
        var invalid: Set<Int> = []
        var cancelling: Set<Int> = []
        var closeError: ScriptedError?
        var closedNumbers: [Int] = []
        var interrupted: [(number: Int, reason: InterruptReason)] = []
        var onInterrupt: (@Sendable () -> Void)?
        var onCheck: (@Sendable (Int) -> Void)?
        var onClose: (@Sendable () -> Void)?
        var affinities: [Int] = []
        var gatesFail = false
        var recycles = false
        var needsRecycling = true
        var busy: Set<Int> = []

        /// The pool drops it without closing it.
        mutating func dropped() {
            counts.dropped += 1
            counts.live -= 1
        }
    }

    private let state = Guarded(State())
    let validation = GatedWork("validate")
    let recycling = GatedWork("recycle")

    init(recycles: Bool = false) {
        state.withLock { $0.recycles = recycles }
    }

    // MARK: - The strategy

    func validate(_ connection: FakeConnection) async throws {
        enter(connection)
        defer { leave(connection) }
        try await validation.run()
    }

    var recycles: Bool { state.withLock { $0.recycles } }
    func needsRecycling(_ connection: FakeConnection) -> Bool { state.withLock { $0.needsRecycling } }

    func recycle(_ connection: FakeConnection) async throws {
        enter(connection)
        defer { leave(connection) }
        try await recycling.run()
    }

    /// Nothing but an interrupt runs beside another call for the same connection.
    private func enter(_ connection: FakeConnection) {
        state.withLock { state in
            if !state.busy.insert(connection.number).inserted { state.counts.overlaps += 1 }
        }
    }

    private func leave(_ connection: FakeConnection) {
        state.withLock { _ = $0.busy.remove(connection.number) }
    }

    func create(slot: PoolSlot) async throws -> FakeConnection {
        let (gate, number) = state.withLock { state in
            state.counts.creates += 1
            state.counts.live += 1
            state.counts.mostLive = max(state.counts.mostLive, state.counts.live)
            let gate = state.connect.isEmpty ? state.connectDefault : state.connect.removeFirst()
            return (gate, state.counts.creates)
        }
        do {
            switch gate {
            case .ok: break
            case .error: throw ScriptedError(what: "connect")
            case .slow:
                await waitAtGate()
                if state.withLock({ $0.gatesFail }) { throw ScriptedError(what: "connect") }
            case .never: try await Task.sleep(for: .seconds(100_000))
            }
        } catch {
            state.withLock { state in
                state.counts.failed += 1
                state.counts.live -= 1
            }
            throw error
        }
        state.withLock { $0.counts.opened += 1 }
        return FakeConnection(number: number, slot: slot)
    }

    func isClosed(_ connection: FakeConnection) throws -> Bool {
        enter(connection)
        defer { leave(connection) }
        let onCheck = state.withLock { state in
            state.counts.checks += 1
            return state.onCheck
        }
        onCheck?(connection.number)
        return try state.withLock { state in
            if state.cancelling.contains(connection.number) {
                state.dropped()
                throw CancellationError()
            }
            if state.invalid.contains(connection.number) {
                state.dropped()
                throw ScriptedError(what: "check")
            }
            return state.dead.contains(connection.number)
        }
    }

    func close(_ connection: FakeConnection) throws {
        enter(connection)
        defer { leave(connection) }
        let onClose = state.withLock { $0.onClose }
        onClose?()
        try state.withLock { state in
            state.counts.closed += 1
            state.counts.live -= 1
            state.closedNumbers.append(connection.number)
            if let error = state.closeError { throw error }
        }
    }

    func interrupt(_ connection: FakeConnection, reason: InterruptReason) {
        let onInterrupt = state.withLock { state in
            state.interrupted.append((connection.number, reason))
            return state.onInterrupt
        }
        onInterrupt?()
    }

    func affinity(of connection: FakeConnection) -> Int {
        state.withLock { $0.affinities.isEmpty ? 0 : $0.affinities.removeFirst() }
    }

    private func waitAtGate() async {
        await withCheckedContinuation { continuation in
            state.withLock { state in
                state.counts.opening += 1
                state.gates.append(continuation)
            }
        }
    }

    /// Whether work on a connection was told to end because it takes too long, and the connection is still open.
    var hasLateWork: Bool {
        state.withLock { state in
            state.interrupted.contains { $0.reason == .unresponsive && !state.closedNumbers.contains($0.number) }
        }
    }

    // MARK: - The script

    var counts: Counts { state.withLock { $0.counts } }
    var closedNumbers: [Int] { state.withLock { $0.closedNumbers } }
    var interrupted: [InterruptReason] { state.withLock { $0.interrupted.map(\.reason) } }

    /// What the next connects do; then the default again.
    func script(_ gates: Gate...) { state.withLock { $0.connect += gates } }
    func clearScript() { state.withLock { $0.connect = [] } }
    func always(_ gate: Gate) { state.withLock { $0.connectDefault = gate } }
    func kill(_ connection: FakeConnection) { kill(connection.number) }
    func kill(_ number: Int) { state.withLock { _ = $0.dead.insert(number) } }
    func invalidate(_ number: Int) { state.withLock { _ = $0.invalid.insert(number) } }
    func cancelAtCheck(_ number: Int) { state.withLock { _ = $0.cancelling.insert(number) } }
    func failCloses(_ error: ScriptedError?) { state.withLock { $0.closeError = error } }
    func onInterrupt(_ body: (@Sendable () -> Void)?) { state.withLock { $0.onInterrupt = body } }
    func onCheck(_ body: (@Sendable (Int) -> Void)?) { state.withLock { $0.onCheck = body } }
    func onClose(_ body: (@Sendable () -> Void)?) { state.withLock { $0.onClose = body } }
    func setNeedsRecycling(_ needs: Bool) { state.withLock { $0.needsRecycling = needs } }
    func setAffinities(_ affinities: Int...) { state.withLock { $0.affinities = affinities } }

    /// All connects that wait at their gates fail, and those that come there later.
    func failGates() {
        let continuations = state.withLock { state in
            defer {
                state.gatesFail = true
                state.counts.opening = 0
                state.gates = []
            }
            return state.gates
        }
        for continuation in continuations { continuation.resume() }
    }

    /// Lets the connect that has waited at its gate the longest go on.
    func open() {
        let continuation = state.withLock { state in
            state.counts.opening -= 1
            return state.gates.removeFirst()
        }
        continuation.resume()
    }
}

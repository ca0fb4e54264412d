// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// Work that does what the test says each time that it is called.
final class GatedWork: Sendable {
    private struct State {
        var script: [Gate] = []
        var fallback = Gate.ok
        var gates: [CheckedContinuation<Void, Never>] = []
        var begun = 0
        var ended = 0
        var cancelled = 0
    }

    private let what: String
    private let state = Guarded(State())

    init(_ what: String) {
        self.what = what
    }

    func run() async throws {
        let gate = state.withLock { state in
            state.begun += 1
            return state.script.isEmpty ? state.fallback : state.script.removeFirst()
        }
        defer { state.withLock { $0.ended += 1 } }
        switch gate {
        case .ok: break
        case .error: throw ScriptedError(what: what)
        case .slow: await waitAtGate()
        case .never:
            do {
                try await Task.sleep(for: .seconds(100_000))
            } catch {
                state.withLock { $0.cancelled += 1 }
                throw error
            }
        }
    }

    private func waitAtGate() async {
        await withCheckedContinuation { continuation in
            state.withLock { $0.gates.append(continuation) }
        }
    }

    var begun: Int { state.withLock { $0.begun } }
    var ended: Int { state.withLock { $0.ended } }
    var cancelled: Int { state.withLock { $0.cancelled } }
    var running: Int { state.withLock { $0.begun - $0.ended } }
    /// How many wait at their gates.
    var waiting: Int { state.withLock { $0.gates.count } }

    func script(_ gates: Gate...) { state.withLock { $0.script += gates } }
    func clearScript() { state.withLock { $0.script = [] } }
    func always(_ gate: Gate) { state.withLock { $0.fallback = gate } }

    /// Lets the one that has waited at its gate the longest go on, if there is one.
    func open() {
        let continuation = state.withLock { $0.gates.isEmpty ? nil : $0.gates.removeFirst() }
        continuation?.resume()
    }
}

// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Where tasks wait until all are there, to begin together.
final class StartGate<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiting: [UnsafeContinuation<Value, Never>] = []
    }

    private let state = Mutex(State())

    /// Suspends until the gate is opened.
    func pass() async -> Value {
        await withUnsafeContinuation { continuation in
            let value = state.withLock { state in
                if state.value == nil { state.waiting.append(continuation) }
                return state.value
            }
            if let value { continuation.resume(returning: value) }
        }
    }

    /// Suspends until so many wait.
    func gather(_ count: Int) async {
        while state.withLock({ $0.waiting.count }) < count { await Task.yield() }
    }

    /// Lets them go, and all who come later.
    func open(_ value: Value) {
        let waiting = state.withLock { state in
            state.value = value
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume(returning: value) }
    }
}

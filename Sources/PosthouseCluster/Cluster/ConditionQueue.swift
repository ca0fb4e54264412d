// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// Tasks that wait until a condition on some value holds: each is resumed exactly once.
final class ConditionQueue<Value: Sendable>: Sendable {
    enum Outcome: Sendable {
        case met
        case timedOut
        case cancelled
        case closed
    }

    private struct Waiter {
        let condition: @Sendable (Value) -> Bool
        let continuation: CheckedContinuation<Outcome, Never>
    }

    /// One task's way through the queue.
    private enum Entry {
        /// It has a number, and no continuation yet.
        case arriving
        /// Its end was decided before it could wait.
        case decided(Outcome)
        case waiting(Waiter)
    }

    private struct State {
        var nextID = 0
        var entries: [Int: Entry] = [:]
        var isClosed = false
    }

    private let state = Guarded(State())

    /// How many tasks are in the queue.
    var count: Int { state.withLock { $0.entries.count } }

    /// Waits until `condition` holds for a value that is posted, or now for `current`.
    func wait(
        until deadline: ContinuousClock.Instant,
        clock: any ClusterClock,
        current: @Sendable () -> Value,
        _ condition: @escaping @Sendable (Value) -> Bool
    ) async -> Outcome {
        let id = state.withLock { state in
            defer { state.nextID += 1 }
            state.entries[state.nextID] = .arriving
            return state.nextID
        }
        let alarm = Task(executorPreference: clock.executor) {
            if (try? await clock.sleep(until: deadline)) != nil { self.finish(id, .timedOut) }
        }
        defer { alarm.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                enqueue(id, Waiter(condition: condition, continuation: continuation))
                // What was posted before we stood in the queue is seen here.
                if condition(current()) { finish(id, .met) }
            }
        } onCancel: {
            finish(id, .cancelled)
        }
    }

    func post(_ value: Value) {
        let met = state.withLock { state in
            var met: [Waiter] = []
            // In the order they came.
            for id in state.entries.keys.sorted() {
                guard case .waiting(let waiter) = state.entries[id], waiter.condition(value) else { continue }
                state.entries[id] = nil
                met.append(waiter)
            }
            return met
        }
        for waiter in met { waiter.continuation.resume(returning: .met) }
    }

    func close() {
        let ids = state.withLock { state in
            state.isClosed = true
            return state.entries.keys.sorted()
        }
        for id in ids { finish(id, .closed) }
    }

    private func enqueue(_ id: Int, _ waiter: Waiter) {
        let refusal: Outcome? = state.withLock { state in
            if case .decided(let outcome) = state.entries[id] {
                state.entries[id] = nil
                return outcome
            }
            if state.isClosed {
                state.entries[id] = nil
                return .closed
            }
            state.entries[id] = .waiting(waiter)
            return nil
        }
        if let refusal { waiter.continuation.resume(returning: refusal) }
    }

    /// Decides a task's end, unless it is decided already.
    private func finish(_ id: Int, _ outcome: Outcome) {
        let waiter: Waiter? = state.withLock { state in
            switch state.entries[id] {
            case .waiting(let waiter):
                state.entries[id] = nil
                return waiter
            case .arriving:
                state.entries[id] = .decided(outcome)
                return nil
            case .decided, nil:
                return nil
            }
        }
        waiter?.continuation.resume(returning: outcome)
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// Lets one task sleep until a time or until somebody rings, whichever comes first. A ring is never lost.
final class Doorbell: Sendable {
    private struct State {
        var hasRung = false
        var nap: Task<Void, Never>?
    }

    private let state = Guarded(State())

    /// Wakes the sleeper, or the next one if nobody sleeps.
    func ring() {
        let nap = state.withLock { state in
            state.hasRung = true
            return state.nap
        }
        nap?.cancel()
    }

    /// - Returns: Whether it was the bell. Returns early, with `true`, in a cancelled task.
    func sleep(until deadline: ContinuousClock.Instant, clock: any ClusterClock) async -> Bool {
        let nap: Task<Void, Never>? = state.withLock { state in
            if state.hasRung {
                state.hasRung = false
                return nil
            }
            let nap = Task(name: "posthouse nap", executorPreference: clock.executor) {
                _ = try? await clock.sleep(until: deadline)
            }
            state.nap = nap
            return nap
        }
        guard let nap else { return true }
        await withTaskCancellationHandler {
            await nap.value
        } onCancel: {
            nap.cancel()
        }
        return state.withLock { state in
            state.nap = nil
            defer { state.hasRung = false }
            return state.hasRung || Task.isCancelled
        }
    }
}

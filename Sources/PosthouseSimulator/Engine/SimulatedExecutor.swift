// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// Runs tasks on the one thread that turns a simulation, in an order drawn from its seed.
///
/// What is ready at the same moment runs in any order on a real machine, too; each seed is one of those orders.
public final class SimulatedExecutor: TaskExecutor {
    private struct State {
        var ready: [UnownedJob] = []
        var draws: SplitMix64
        var strays = 0
    }

    private let state: Guarded<State>
    /// How many threads the one thread plays: the pool deals its idle connections out to as many.
    private static let threads: UInt64 = 4

    init(seed: UInt64) {
        state = Guarded(State(draws: SplitMix64(seed: seed)))
    }

    /// Puts the job among those that are ready.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { state in
            // Something ran elsewhere, and no seed says when.
            if !ThreadGuise.isWorn { state.strays += 1 }
            state.ready.append(job)
        }
    }

    /// How many jobs came from threads that are no part of the simulation.
    var strays: Int { state.withLock { $0.strays } }

    /// Runs one of the jobs that are ready; `false` if there is none.
    func runNext() -> Bool {
        let next: (job: UnownedJob, guise: UInt64)? = state.withLock { state in
            guard let last = state.ready.indices.last else { return nil }
            let guise = state.draws.next()
            // The high bits choose the job, the low ones the thread.
            let chosen = last == 0 ? 0 : Int(guise >> 8) % (last + 1)
            state.ready.swapAt(chosen, last)
            return (state.ready.removeLast(), guise)
        }
        guard let next else { return false }
        ThreadGuise.put(on: next.guise % Self.threads, seed: next.guise)
        next.job.runSynchronously(on: asUnownedTaskExecutor())
        return true
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// What the core does when time has passed.
extension ClusterCore {
    /// The machine may want to be woken this often at most.
    private static var leastNap: Duration { .milliseconds(5) }

    func beginGrace() {
        let began = clock.now
        let grace = min(configuration.electionGrace, configuration.refreshTimeout)
        let task = Task(name: "posthouse election", executorPreference: clock.executor) { [link, clock] in
            guard (try? await clock.sleep(until: began + grace)) != nil else { return }
            // Nobody could answer while this process could not run.
            let stall = min(clock.stall(since: began), grace)
            guard (try? await clock.sleep(until: clock.now + stall)) != nil else { return }
            link.core?.post(.graceEnded)
        }
        keep(task)
    }

    /// Cancels the task when the cluster ends, and waits for it.
    func keep(_ task: Task<Void, Never>) {
        let isTooLate = state.withLock { state in
            if !state.isStopped { state.tasks.append(task) }
            return state.isStopped
        }
        if isTooLate { task.cancel() }
    }

    // MARK: - The alarm

    /// Says when the alarm is to ring, and remembers it: evidence that is renewed all the time only moves it away.
    func armAlarm() -> ContinuousClock.Instant {
        let now = clock.now
        return state.withLock { state in
            let wakeAt = state.machine.wakeAt ?? now + state.machine.settings.evidenceLife
            // What it rang for may still be in the inbox.
            let due = state.rangAt.map { max(wakeAt, $0 + Self.leastNap) } ?? wakeAt
            state.alarmAt = due
            return due
        }
    }

    func alarmRang() {
        let now = clock.now
        let life = state.withLock { state -> Duration? in
            guard !state.isStopped, let wakeAt = state.machine.wakeAt, wakeAt <= now else { return nil }
            state.rangAt = now
            return state.machine.settings.evidenceLife
        }
        if let life { post(.timePassed(stall: clock.stall(since: now - life))) }
    }

    // MARK: - The witness

    /// Asks off every lock, and hears whatever comes first: the answer, or the deadline.
    func askWitness(_ question: Int) {
        guard let witness = configuration.fencing.witness else { return }
        let deadline = clock.now + configuration.refreshTimeout
        // One that ignores its cancellation is silent until it returns.
        let isBusy = state.withLock { state in
            defer { state.witnessIsBusy = true }
            return state.witnessIsBusy
        }
        var asking: Task<Void, Never>?
        if !isBusy {
            asking = Task(name: "posthouse witness", executorPreference: clock.workExecutor) { [link] in
                let host = try? await witness.primary(deadline: deadline)
                guard let core = link.core else { return }
                core.state.withLock { $0.witnessIsBusy = false }
                core.post(.testified(question: question, host: host))
            }
        }
        let limit = Task(name: "posthouse witness limit", executorPreference: clock.executor) { [link, clock, asking] in
            guard (try? await clock.sleep(until: deadline)) != nil else { return }
            asking?.cancel()
            link.core?.post(.testified(question: question, host: nil))
        }
        let tasks = [asking, limit].compactMap { $0 }
        let isTooLate = state.withLock { state in
            // Those of the last question have ended, or were cancelled.
            if !state.isStopped { state.witnessTasks = tasks }
            return state.isStopped
        }
        if isTooLate { for task in tasks { task.cancel() } }
    }
}

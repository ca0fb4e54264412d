// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

extension PoolCore {
    /// - Returns: How many connections were still leased at the end.
    nonisolated(nonsending) func close(deadline: Moment?) async -> Int {
        let now = now
        let end = Promise<Int>()
        step { state, actions in
            state.closers.append(end)
            state.machine.close(deadline: deadline, now: now, &actions)
        }
        return await withTaskCancellationHandler {
            await end.value()
        } onCancel: {
            let now = now
            step { $0.machine.close(deadline: now, now: now, &$1) }
        }
    }

    func terminate() {
        let now = now
        step { $0.machine.terminate(now: now, &$1) }
    }

    /// The group is gone. A lease may outlive it: who holds one uses it to its end, and then it is closed.
    func dropped() {
        let now = now
        let snapshot: PoolSnapshot? = withMachine {
            $0.machine.isClosing ? nil : $0.snapshot(configuration.name, takenAt: now)
        }
        guard let snapshot else { return }
        step { $0.machine.close(deadline: nil, now: now, &$1) }
        observer?.droppedWithoutClose(snapshot)
    }
}

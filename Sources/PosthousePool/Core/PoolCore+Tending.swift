// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

// Work on connections that nobody has: keeping them alive, and bringing them into order after a lease.

extension PoolCore {
    func tend(_ occupant: Occupant, _ tending: Tending, _ work: Work) {
        let id = occupant.slot.id
        let now = now
        step { $0.machine.tendingBegan(id, now: now, &$1) }
        let task = Task.detached(executorPreference: time.workExecutor, priority: .high) { [self] in
            var condition = Condition.unfit
            do {
                switch tending {
                case .keepAlive: try await occupant.validate()
                case .recycle: try await occupant.recycle()
                }
                condition = occupant.condition
            } catch {
                note(error, of: occupant.slot)
            }
            tended(occupant, condition)
        }
        work.begin(task)
    }

    private func tended(_ occupant: Occupant, _ condition: Condition) {
        let id = occupant.slot.id
        let now = now
        let isKnown = step { state, actions in
            if state.machine.holds(id, .tended) { state.members[id.member][id].work = nil }
            return state.machine.tended(id, condition, now: now, &actions)
        }
        if !isKnown { closeForgotten(occupant, .unfit) }
    }

    /// Closes a connection that was written off while somebody worked on it.
    func closeForgotten(_ occupant: Occupant, _ reason: CloseReason) {
        do { try occupant.close(reason) } catch { report(error, of: occupant.slot) }
        observer?.connectionClosed(member(of: occupant.slot), reason: reason)
    }
}

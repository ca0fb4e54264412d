// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

// Work on connections that nobody has: keeping them alive, and bringing them into order after a lease.

extension PoolCore {
    func tend(_ occupant: Occupant, _ tending: Tending) {
        let id = occupant.slot.id
        let now = now
        step { $0.machine.tendingBegan(id, now: now, &$1) }
        let task = Task.detached(priority: .high) { [self] in
            var isFit = false
            do {
                switch tending {
                case .keepAlive: try await occupant.validate()
                case .recycle: try await occupant.recycle()
                }
                isFit = occupant.condition == .usable
            } catch {
                note(error, of: occupant.slot)
            }
            tended(occupant, tending, isFit: isFit)
        }
        // If it has ended, or is not wanted any more, nobody will ask for it.
        let isWanted = state.withLock { state in
            guard state.machine.holds(id, .tended), !state.machine.isClosing else { return false }
            state.members[id.member][id].work = task
            return true
        }
        if !isWanted { task.cancel() }
    }

    private func tended(_ occupant: Occupant, _ tending: Tending, isFit: Bool) {
        let id = occupant.slot.id
        let now = now
        step { state, actions in
            state.members[id.member][id].work = nil
            state.machine.tended(id, tending, isFit: isFit, now: now, &actions)
        }
    }
}

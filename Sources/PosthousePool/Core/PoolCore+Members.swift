// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

extension PoolCore {
    func memberID(_ index: Int) -> MemberID { MemberID(index: index, group: ObjectIdentifier(self)) }

    /// Another group's member may have the same index here, or none.
    func index(of member: MemberID) -> Int {
        precondition(member.group == ObjectIdentifier(self), "The member belongs to another pool group.")
        return member.index
    }

    func addMember(label: String, configuration: PoolConfiguration, opener: any SlotOpener) -> MemberID {
        withMachine { state in
            let id = memberID(state.machine.addMember(configuration))
            let fence = MemberFence(label: label)
            state.members.append(
                MemberShell(
                    identity: PoolMember(group: self.configuration.name, id: id, label: label),
                    fence: fence,
                    opener: opener,
                    terms: terms(configuration, opener)
                )
            )
            open.add(fence: fence, capacity: min(configuration.maximumSize, 2 * SlotSet.slotsPerWord))
            return id
        }
    }

    private func terms(_ configuration: PoolConfiguration, _ opener: any SlotOpener) -> SlotTerms {
        let isAlwaysValidated = configuration.validation == .always
        return SlotTerms(
            maximumUses: configuration.maximumUses.map { UInt64($0) } ?? .max,
            isAlwaysValidated: isAlwaysValidated,
            isAlwaysPrepared: isAlwaysValidated || opener.hasHandOutHook,
            notesLeases: configuration.leakDetectionThreshold != nil || measuresUses
        )
    }

    func reconfigure(_ member: MemberID, _ configuration: PoolConfiguration) {
        let now = now
        let index = index(of: member)
        step { state, actions in
            state.members[index].terms = terms(configuration, state.members[index].opener)
            state.machine.reconfigure(index, configuration, now: now, &actions)
        }
    }

    func setServices(_ services: ServiceClass, for member: MemberID) {
        let now = now
        step { $0.machine.setServices(services, for: index(of: member), now: now, &$1) }
    }

    func fence(_ member: MemberID) {
        let now = now
        let index = index(of: member)
        step { state, actions in
            state.members[index].fence.raise()
            state.machine.fence(index, now: now, &actions)
        }
    }

    func removeMember(_ member: MemberID) {
        let now = now
        let index = index(of: member)
        step { state, actions in
            // What opened its connections is the user's, and may be large.
            state.members[index].opener = RemovedOpener()
            state.machine.removeMember(index, now: now, &actions)
        }
    }

    // MARK: Filters

    func addFilter(_ members: [MemberID]) -> MemberFilter {
        let members = MemberSet(members.map { index(of: $0) })
        return MemberFilter(id: state.withLock { $0.machine.addFilter(members) }, group: ObjectIdentifier(self))
    }

    func setFilter(_ filter: MemberFilter, members: [MemberID]) {
        precondition(filter.group == ObjectIdentifier(self), "The filter belongs to another pool group.")
        let now = now
        let members = MemberSet(members.map { index(of: $0) })
        step { $0.machine.setFilter(filter.id, members, now: now, &$1) }
    }

    func removeFilter(_ filter: MemberFilter) {
        precondition(filter.group == ObjectIdentifier(self), "The filter belongs to another pool group.")
        let now = now
        step { $0.machine.removeFilter(filter.id, now: now, &$1) }
    }

    // MARK: What the budget says

    func permitGranted() {
        let now = now
        step { $0.machine.permitGranted(now: now, &$1) }
    }

    func press(_ pressure: Int?, number: UInt64, need: Int) {
        step { _ = $0.machine.press(pressure, number: number, need: need, &$1) }
    }

    func expire(_ member: MemberID) {
        let now = now
        step { $0.machine.expire(index(of: member), now: now, &$1) }
    }

    func resize(_ member: MemberID, maximumSize: Int, hardLimit: Int) {
        let now = now
        step { $0.machine.resize(index(of: member), soft: maximumSize, hard: hardLimit, now: now, &$1) }
    }

    /// Holds the connection out of the idle ones; `false` if it is not idle.
    func claim(_ slot: PoolSlot) -> Bool {
        withMachine { $0.machine.claim(slot.id) }
    }

    func settleClaim(_ slot: PoolSlot, _ verdict: IdleVerdict) {
        step { $0.machine.claimEnded(slot.id, verdict, &$1) }
    }
}

/// Of a member that was removed: it has nothing to open.
private struct RemovedOpener: SlotOpener {
    var hasHandOutHook: Bool { false }

    func open(_ slot: PoolSlot) async throws -> Occupant { throw CancellationError() }
}

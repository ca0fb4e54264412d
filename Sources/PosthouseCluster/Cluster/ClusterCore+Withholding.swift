// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// What hosts may not serve for the time being, and what somebody who decides that wants to know.
extension ClusterCore {
    var withholding: Withholding<Driver.Endpoint> { state.withLock { $0.withholding } }

    /// Changes what hosts may not serve. In force when the version that it returns is applied.
    @discardableResult
    func withhold(_ change: (inout Withholding<Driver.Endpoint>) -> Void) -> Int {
        let version = state.withLock { $0.withholding.change(change) }
        work()
        return version
    }

    /// Members whose hosts take writes, withheld or not.
    var writingMembers: [MemberID] {
        state.withLock { state in
            zip(state.machine.hosts, state.slots).filter { $0.0.serves.contains(.primary) }.map(\.1.member)
        }
    }

    /// Asks for a check of every host.
    func checkNow() {
        for slot in state.withLock({ $0.slots }) where !slot.isRemoved { slot.monitor.checkNow() }
    }

    /// Whether a check of every host that answers began after this time, and what it found is taken into account once the
    /// inbox is empty.
    func answeringHostsWereChecked(since time: ContinuousClock.Instant) -> Bool {
        state.withLock { state in
            zip(state.machine.hosts, state.slots).allSatisfy { host, slot in
                !host.isAnswering || slot.isRemoved || (slot.checkedAt.map { $0 >= time } ?? false)
            }
        }
    }
}

extension ClusterCore.State {
    var hasWork: Bool { !inbox.isEmpty || !withholding.isApplied }

    /// The machine with the reads gone that are withheld, for whoever chooses among replicas.
    var machineForReads: TopologyMachine {
        guard !withholding.readless.isEmpty else { return machine }
        var machine = machine
        for (host, slot) in zip(machine.hosts.indices, slots) where withholding.readless.contains(slot.endpoint) {
            machine.hosts[host].serves.subtract(.reads)
        }
        return machine
    }

    /// What brings the pools into line with the machine.
    var services: [TopologyMachine.Action] {
        machine.hosts.indices.filter { !machine.hosts[$0].isRemoved }.map { .serve(host: $0, machine.hosts[$0].serves) }
    }
}

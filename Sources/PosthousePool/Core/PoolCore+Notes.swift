// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import Synchronization

// Who holds what, for how long: for timeout errors, leak reports and observers that want to know.

extension Grant {
    /// Where its connection was asked for.
    @inlinable
    func note(_ site: AcquireSite) {
        occupant._withUnsafeGuaranteedRef { occupant in
            occupant.slot.siteFile.store(site.file, ordering: .relaxed)
            occupant.slot.siteLine.store(site.line, ordering: .relaxed)
            if occupant.slot.notes != nil { occupant.slot.core.noteBegin(of: occupant.slot) }
        }
    }
}

extension PoolCore {
    /// A lease begins, of a connection of which more is noted than what costs nothing.
    @usableFromInline
    func noteBegin(of slot: PoolSlot) {
        slot.notes?.begin(at: now, task: Task.name)
    }

    func noteEnd(of slot: PoolSlot) {
        guard let began = slot.notes?.end(), measuresUses else { return }
        observer?.used(member(of: slot), for: now - began)
    }

    func reportEnd(of leak: MemberShell.Leak) {
        let report = leak.report
        observer?.leakEnded(
            LeaseReport(
                member: report.member,
                site: report.site,
                taskName: report.taskName,
                heldAtLeast: report.heldAtLeast + (now - leak.reportedAt)
            )
        )
    }
}

extension PoolCore.State {
    /// How often the housekeeper is called for by requests that find no connection.
    private static let censusInterval = Duration.milliseconds(100)
    private static let longestHolders = 3

    /// When requests begin to wait it is noted who holds what, so that those that time out can say for how long.
    mutating func takeCensus(now: Moment, isUrgent: Bool) {
        if isUrgent { return noteUses() }
        guard machine.queue.isEmpty, now >= nextCensus else { return }
        nextCensus = now + Self.censusInterval
        noteUses()
        machine.takeCensus(now: now)
    }

    /// The lease's end was waited for.
    mutating func endLeak(of slot: PoolSlot) -> MemberShell.Leak? {
        guard let leak = members[slot.id.member][slot.id].leak else { return nil }
        members[slot.id.member][slot.id].leak = nil
        slot.limit.store(slot.terms.maximumUses, ordering: .relaxed)
        return leak
    }

    /// Those that have lasted the longest, as far as anybody looked.
    mutating func holders(now: Moment) -> [LeaseReport] {
        noteUses()
        var found: [LeaseReport] = []
        for member in members.indices {
            for (index, place) in members[member].places.enumerated() {
                guard let slot = place.occupant?.slot else { continue }
                guard let held = machine.heldAtLeast(slotID: (member, index), now: now) else { continue }
                found.append(LeaseReport(slot, of: members[member].identity, heldAtLeast: held))
            }
        }
        return Array(found.sorted { $0.heldAtLeast > $1.heldAtLeast }.prefix(Self.longestHolders))
    }
}

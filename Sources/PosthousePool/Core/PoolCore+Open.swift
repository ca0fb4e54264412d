// SPDX-License-Identifier: Apache-2.0

import Synchronization

// Before and after each step: what lies open is taken back, and laid open again.

extension PoolCore.State {
    /// The machine learns who has what, and nobody takes or gives until it is laid open again.
    mutating func withdrawIdle() {
        for index in members.indices where members[index].liesOpen {
            members[index].liesOpen = false
            // One that was given back and taken again shows only here. Few members are about to open more at a time.
            if machine.members[index].ramp != Member.rampStart, endedLeases(index) != members[index].endedAtOpening {
                machine.members[index].ramp = Member.rampStart
            }
            open.withMember(index) { lane in
                lane.withdraw { word, idle in machine.catchUp(index, word: word, open: idle) }
            }
        }
    }

    /// Lays idle connections open of all members about which nothing is to be decided.
    mutating func layIdleOpen() {
        open.noteServed(machine.served)
        for index in members.indices {
            open.withMember(index) { $0.note(machine.members[index].services) }
            guard laysIdleOpen, machine.isCalm(index) else { continue }
            members[index].liesOpen = true
            if machine.members[index].ramp != Member.rampStart { members[index].endedAtOpening = endedLeases(index) }
            open.withMember(index) { lane in
                lane.open(machine.members[index]) { machine.tables[index].idle.word($0) }
            }
        }
    }

    /// Who took what that is leased, and how often each connection was leased, as of this moment: known to the slots, not all
    /// of it to the machine.
    mutating func noteUses() {
        for member in members.indices {
            for (index, place) in members[member].places.enumerated() {
                guard let slot = place.occupant?.slot else { continue }
                machine.tables[member][index].holder = slot.holder.load(ordering: .relaxed)
                machine.tables[member][index].uses = slot.epoch.load(ordering: .relaxed)
            }
        }
    }

    /// The machine learns how things are at this moment, while they go on.
    mutating func glance() {
        for index in members.indices where members[index].liesOpen {
            open.withMember(index) { lane in
                lane.look { word, idle in machine.catchUp(index, word: word, open: idle) }
            }
        }
    }

    /// A connection is there from now on, or (nil) no more. Its slot's bit is clear and stays so in this step.
    mutating func settle(_ occupant: Occupant?, at id: SlotID) {
        if let gone = members[id.member][id].occupant {
            members[id.member].endedLeases &+= gone.slot.epoch.load(ordering: .relaxed)
            members[id.member].answers &+= gone.answers()
        }
        members[id.member][id] = MemberShell.Place(occupant: occupant)
        if id.index >= open.withMember(id.member, { $0.capacity }) { grow(id.member) }
        open.withMember(id.member) { $0.settle(occupant, in: id.index) }
    }

    /// Room for twice the places that there are: some are of connections that are being opened.
    private func grow(_ member: Int) {
        let places = members[member].places
        open.grow(
            member,
            fence: members[member].fence,
            capacity: 2 * places.count,
            services: machine.members[member].services
        )
        for (index, place) in places.enumerated() where place.occupant != nil {
            open.withMember(member) { $0.settle(place.occupant, in: index) }
        }
    }

    /// How many leases of the member have ended.
    func endedLeases(_ member: Int) -> UInt64 {
        members[member].places.reduce(members[member].endedLeases) {
            $0 &+ ($1.occupant?.slot.epoch.load(ordering: .relaxed) ?? 0)
        }
    }

    /// How often the member has answered, as far as its strategy counts that.
    func answers(_ member: Int) -> UInt64 {
        members[member].places.reduce(members[member].answers) { $0 &+ ($1.occupant?.answers() ?? 0) }
    }
}

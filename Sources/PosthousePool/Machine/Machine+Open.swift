// SPDX-License-Identifier: Apache-2.0

/// How the machine lays idle connections open for takers that do not ask it, and catches up with them.
extension Machine {
    /// Whether nothing about the member needs a decision while its connections are only taken and given back: nobody waits
    /// for them, and each one that comes back may rest.
    func isCalm(_ member: Int) -> Bool {
        let numbers = members[member]
        return !isClosing && !numbers.services.isEmpty && numbers.live <= numbers.softLimit
            && numbers.staying <= numbers.hardLimit && !tables[member].holdsStale(numbers.generation)
            && firstWaiter(for: member) == nil
    }

    /// What may lie open of a word's slots. Not a connection that nobody has used yet: if it turns out bad, that is the
    /// host's failure, and to be told.
    func openable(_ member: Int, word: Int) -> UInt64 {
        tables[member].idle.word(word) & ~tables[member].fresh.word(word)
    }

    /// Catches up with what happened to a word's slots while they lay open.
    ///
    /// - Parameters:
    ///   - open: The slots that are idle now.
    ///   - holder: Who took the connection of a slot.
    mutating func catchUp(_ member: Int, word: Int, open: UInt64, holder: (_ slot: Int) -> UInt) {
        var taken = openable(member, word: word) & ~open
        var given = open & ~tables[member].idle.word(word)
        if given != 0 { members[member].ramp = Member.rampStart }
        while taken != 0 {
            let index = word * SlotSet.slotsPerWord + taken.trailingZeroBitCount
            taken &= taken - 1
            move(slotID(member, index), to: .leased)
            tables[member][index].holder = holder(index)
        }
        while given != 0 {
            let index = word * SlotSet.slotsPerWord + given.trailingZeroBitCount
            given &= given - 1
            tables[member].noteUsed(index)
            move(slotID(member, index), to: .idle)
        }
    }
}

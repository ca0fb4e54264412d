// SPDX-License-Identifier: Apache-2.0

/// How the machine lays idle connections open for takers that do not ask it, and catches up with them.
extension Machine {
    /// Whether nothing about the member needs a decision while its connections are only taken and given back: nobody waits
    /// for them, and each one that comes back may rest, if it is not of an older generation.
    func isCalm(_ member: Int) -> Bool {
        let numbers = members[member]
        return !isClosing && budget?.pressure == nil && !numbers.services.isEmpty
            && numbers.live <= numbers.softLimit
            && numbers.staying <= numbers.hardLimit && firstWaiter(for: member) == nil
    }

    /// Catches up with what happened to a word's slots while they lay open.
    ///
    /// - Parameters:
    ///   - open: The slots that are idle now.
    mutating func catchUp(_ member: Int, word: Int, open: UInt64) {
        let idle = tables[member].idle.word(word)
        var taken = idle & ~open
        var given = open & ~idle
        if given != 0 { members[member].ramp = Member.rampStart }
        while taken != 0 {
            let index = word * SlotSet.slotsPerWord + taken.trailingZeroBitCount
            taken &= taken - 1
            move(slotID(member, index), to: .leased)
        }
        while given != 0 {
            let index = word * SlotSet.slotsPerWord + given.trailingZeroBitCount
            given &= given - 1
            move(slotID(member, index), to: .idle)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import CTask

/// How slots are dealt out to the words where they lie open (`OpenIdle`): the slots of each `SlotSet` word in turn to as
/// many stripes, one for each processor up to a few. Words are counted stripe by stripe.
struct Stripes: Sendable {
    /// Few: whoever compares members reads all words of each of them.
    static let most = 4

    private let shift: Int

    /// - Parameter processors: How many threads run at once; the stripes are as many, or fewer.
    init(processors: Int) {
        let count = min(max(1, processors), Self.most)
        // A power of two.
        shift = Int.bitWidth - 1 - count.leadingZeroBitCount
    }

    /// As many as the machine has processors.
    static let ofMachine = Stripes(processors: Int(ctask_processors()))

    /// The same on every machine.
    static let ofAnyMachine = Stripes(processors: most)

    var count: Int { 1 << shift }

    /// The stripe that the running thread begins with.
    @inline(__always)
    var ofThread: Int { Int(truncatingIfNeeded: ctask_thread_number()) & (count - 1) }

    /// The word that comes at this turn if one begins with a stripe: all stripes of the first `SlotSet` word, and so on.
    @inline(__always)
    func index(_ turn: Int, from first: Int) -> Int { turn ^ first }

    /// The `SlotSet` word that a word has slots of.
    @inline(__always)
    func word(of index: Int) -> Int { index >> shift }

    /// The word in which a slot lies open.
    func index(of slot: Int) -> Int {
        (slot / SlotSet.slotsPerWord) << shift | slot % SlotSet.slotsPerWord & (count - 1)
    }

    /// The words that have the slots of a `SlotSet` word.
    func indices(of word: Int) -> Range<Int> { word << shift..<(word + 1) << shift }

    /// The slots of a word, among those of its `SlotSet` word.
    func slots(of index: Int) -> UInt64 {
        var slots: UInt64 = 0
        for slot in stride(from: index & (count - 1), to: SlotSet.slotsPerWord, by: count) {
            slots |= 1 << UInt64(slot)
        }
        return slots
    }
}

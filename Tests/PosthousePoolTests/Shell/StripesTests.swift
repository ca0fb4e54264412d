// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

@Suite struct StripesTests {
    @Test(arguments: [(-1, 1), (0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (64, 4)])
    func thereAreAsManyAsProcessorsUpToAFew(processors: Int, count: Int) {
        #expect(Stripes(processors: processors).count == count)
    }

    @Test(arguments: [1, 2, 4])
    func everySlotLiesInOneWord(processors: Int) {
        let stripes = Stripes(processors: processors)
        let slots = 3 * SlotSet.slotsPerWord
        for slot in 0..<slots {
            let index = stripes.index(of: slot)
            let position = slot / SlotSet.slotsPerWord
            #expect(stripes.word(of: index) == position)
            #expect(stripes.indices(of: position).contains(index))
            let bit: UInt64 = 1 << UInt64(slot % SlotSet.slotsPerWord)
            for other in stripes.indices(of: position) {
                #expect((stripes.slots(of: other) & bit != 0) == (other == index))
            }
        }
    }

    /// Whoever finds nothing in his own stripe finds what the others have.
    @Test(arguments: [1, 2, 4])
    func everyThreadComesToAllWords(processors: Int) {
        let stripes = Stripes(processors: processors)
        let words = 3 * stripes.count
        for first in 0..<stripes.count {
            let order = (0..<words).map { stripes.index($0, from: first) }
            #expect(order[0] == first)
            #expect(order.sorted() == Array(0..<words))
            #expect(order.map(stripes.word(of:)) == order.map(stripes.word(of:)).sorted())
        }
    }
}

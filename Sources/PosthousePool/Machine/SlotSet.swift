// SPDX-License-Identifier: Apache-2.0

/// A set of slot indexes, 48 to a word, as where they lie open (`OpenIdle`); its first element is found in time proportional to the words, not to the slots.
struct SlotSet: Equatable {
    static let slotsPerWord = 48

    private var words: [UInt64] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    func contains(_ index: Int) -> Bool {
        index / Self.slotsPerWord < words.count && words[index / Self.slotsPerWord] & Self.bit(index) != 0
    }

    func word(_ position: Int) -> UInt64 { position < words.count ? words[position] : 0 }

    mutating func insert(_ index: Int) {
        while words.count <= index / Self.slotsPerWord { words.append(0) }
        guard words[index / Self.slotsPerWord] & Self.bit(index) == 0 else { return }
        words[index / Self.slotsPerWord] |= Self.bit(index)
        count += 1
    }

    mutating func remove(_ index: Int) {
        guard contains(index) else { return }
        words[index / Self.slotsPerWord] &= ~Self.bit(index)
        count -= 1
    }

    /// The lowest index: low slots stay busy, so that a burst's connections, in high slots, fall idle and can be closed.
    var first: Int? {
        guard count > 0 else { return nil }
        for position in words.indices where words[position] != 0 {
            return position * Self.slotsPerWord + words[position].trailingZeroBitCount
        }
        return nil
    }

    var last: Int? {
        guard count > 0 else { return nil }
        for position in words.indices.reversed() where words[position] != 0 {
            return position * Self.slotsPerWord + 63 - words[position].leadingZeroBitCount
        }
        return nil
    }

    /// The lowest index that is also in `other`.
    func first(in other: SlotSet) -> Int? {
        for position in 0..<min(words.count, other.words.count) {
            let both = words[position] & other.words[position]
            if both != 0 { return position * Self.slotsPerWord + both.trailingZeroBitCount }
        }
        return nil
    }

    private static func bit(_ index: Int) -> UInt64 { 1 << UInt64(index % slotsPerWord) }
}

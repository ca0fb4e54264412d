// SPDX-License-Identifier: Apache-2.0

/// A set of slot indexes, 64 to a word; its first element is found in time proportional to the words, not to the slots.
struct SlotSet: Equatable {
    private var words: [UInt64] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    func contains(_ index: Int) -> Bool {
        index / 64 < words.count && words[index / 64] & Self.bit(index) != 0
    }

    mutating func insert(_ index: Int) {
        while words.count <= index / 64 { words.append(0) }
        guard words[index / 64] & Self.bit(index) == 0 else { return }
        words[index / 64] |= Self.bit(index)
        count += 1
    }

    mutating func remove(_ index: Int) {
        guard contains(index) else { return }
        words[index / 64] &= ~Self.bit(index)
        count -= 1
    }

    /// The lowest index: low slots stay busy, so that a burst's connections, in high slots, fall idle and can be closed.
    var first: Int? {
        guard count > 0 else { return nil }
        for position in words.indices where words[position] != 0 {
            return position * 64 + words[position].trailingZeroBitCount
        }
        return nil
    }

    var last: Int? {
        guard count > 0 else { return nil }
        for position in words.indices.reversed() where words[position] != 0 {
            return position * 64 + 63 - words[position].leadingZeroBitCount
        }
        return nil
    }

    /// The lowest index that is also in `other`.
    func first(in other: SlotSet) -> Int? {
        for position in 0..<min(words.count, other.words.count) {
            let both = words[position] & other.words[position]
            if both != 0 { return position * 64 + both.trailingZeroBitCount }
        }
        return nil
    }

    private static func bit(_ index: Int) -> UInt64 { 1 << UInt64(index % 64) }
}

// SPDX-License-Identifier: Apache-2.0

/// A set of members' indexes, 64 to a word.
struct MemberSet: Hashable, Sendable {
    private var words: [UInt64] = []

    init(_ members: some Sequence<Int>) {
        for member in members { insert(member) }
    }

    func contains(_ member: Int) -> Bool {
        member / 64 < words.count && words[member / 64] & Self.bit(member) != 0
    }

    private mutating func insert(_ member: Int) {
        while words.count <= member / 64 { words.append(0) }
        words[member / 64] |= Self.bit(member)
    }

    private static func bit(_ member: Int) -> UInt64 { 1 << UInt64(member % 64) }
}

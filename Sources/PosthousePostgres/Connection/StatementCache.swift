// SPDX-License-Identifier: Apache-2.0

/// The statements that a session has prepared, least recently used first out. A pure value; touched by the connection's
/// owner only.
///
/// A text is prepared when it is seen for the second time: a statement that is sent once costs one round trip, not two.
struct StatementCache {
    /// How to send a statement.
    enum Plan: Equatable {
        /// Text and parameters in one go, leaving nothing behind.
        case unnamed
        /// Prepare it under this name first, then report ``StatementCache/markPrepared(_:as:)``.
        case prepare(name: String)
        /// The server knows it under this name.
        case prepared(name: String)
    }

    private struct Entry {
        let text: StatementText
        var name: String?
        var lastUse: UInt64
    }

    private let capacity: Int
    private var entries: [Entry] = []
    private var slots: [StatementText: Int] = [:]
    private var mostRecent = 0
    private var uses: UInt64 = 0
    private var namesGiven = 0

    /// Longer texts, such as lists of thousands of parameters, are rarely sent twice and cost memory at both ends.
    private static let longestText = 32 * 1024

    /// Names that the server still knows and that nobody needs.
    private(set) var retired: [String] = []

    init(capacity: Int) {
        self.capacity = max(0, capacity)
    }

    /// How many statements are prepared.
    var preparedCount: Int { entries.count { $0.name != nil } }

    /// Decides how to send a text, and counts the use.
    mutating func plan(for text: String) -> Plan {
        guard capacity > 0, text.utf8.count <= Self.longestText else { return .unnamed }
        uses += 1
        let text = StatementText(text: text)
        guard let slot = slot(of: text) else {
            insert(text)
            return .unnamed
        }
        mostRecent = slot
        entries[slot].lastUse = uses
        if let name = entries[slot].name { return .prepared(name: name) }
        namesGiven += 1
        return .prepare(name: "posthouse_\(namesGiven)")
    }

    /// The server has prepared it.
    mutating func markPrepared(_ text: String, as name: String) {
        guard let slot = slot(of: StatementText(text: text)) else { return }
        entries[slot].name = name
    }

    /// The server does not know it any more, or not in a form that works.
    mutating func forget(_ text: String, isKnownToServer: Bool) {
        guard let slot = slot(of: StatementText(text: text)), let name = entries[slot].name else { return }
        entries[slot].name = nil
        if isKnownToServer { retired.append(name) }
    }

    /// The server dropped all: `DISCARD ALL`, `DEALLOCATE ALL`.
    mutating func forgetAll() {
        for slot in entries.indices {
            entries[slot].name = nil
        }
        retired = []
    }

    /// The retired names, to be deallocated now.
    mutating func takeRetired() -> [String] {
        defer { retired = [] }
        return retired
    }

    private func slot(of text: StatementText) -> Int? {
        // The same statement again is the common case, and comparing equal storage is cheaper than hashing.
        if mostRecent < entries.count, entries[mostRecent].text == text { return mostRecent }
        return slots[text]
    }

    private mutating func insert(_ text: StatementText) {
        let entry = Entry(text: text, name: nil, lastUse: uses)
        guard entries.count >= capacity,
            let oldest = entries.indices.min(by: { entries[$0].lastUse < entries[$1].lastUse })
        else {
            slots[text] = entries.count
            entries.append(entry)
            return
        }
        slots[entries[oldest].text] = nil
        if let name = entries[oldest].name { retired.append(name) }
        entries[oldest] = entry
        slots[text] = oldest
    }
}

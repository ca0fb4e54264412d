// SPDX-License-Identifier: Apache-2.0

/// A point in a cluster's history: whoever reads "after" it sees everything that was committed before it was made.
///
/// ```swift
/// let token = try await shop.write { db in
///     try await db.execute("UPDATE stock SET left = left - 1 WHERE id = \(id)")
///     return try await db.commitToken()
/// }
/// response.headers["X-Stock-As-Of"] = token.description
/// // The next request, in another process:
/// let token = CommitToken(request.headers["X-Stock-As-Of"])
/// let left = try await shop.read(after: token) { db in ... }
/// ```
///
/// Its text is made of digits, lower-case letters and dots: it needs no escaping in a header, a cookie or a URL. It tells
/// nothing but positions, but it is not signed: whoever takes one from a stranger gets at worst a read that waits for its
/// bound and then goes to the primary.
public struct CommitToken: Sendable, Hashable {
    /// `pg_control_system().system_identifier` of the cluster; `nil` where the server does not tell it.
    public var systemIdentifier: UInt64?
    /// The timeline that ``position`` is on; `nil` where the server does not tell it.
    public var timeline: UInt32?
    /// Bytes of write-ahead log from the beginning: what was committed ends before it.
    public var position: UInt64

    /// Makes a token.
    public init(systemIdentifier: UInt64?, timeline: UInt32?, position: UInt64) {
        self.systemIdentifier = systemIdentifier
        self.timeline = timeline
        self.position = position
    }

    /// Whether a server there has all that the token stands for.
    ///
    /// A server on a later timeline that has passed the position has it, too: either its timeline branched off later, or what
    /// was committed beyond the branch is lost for everybody.
    func isReached(by position: UInt64?, timeline: UInt32?) -> Bool {
        guard let position else { return false }
        if let ours = self.timeline, let theirs = timeline, theirs < ours { return false }
        return position >= self.position
    }
}

extension CommitToken: LosslessStringConvertible {
    /// "1.SYSTEM.TIMELINE.POSITION", numbers in hexadecimal; what is not known is left empty.
    public var description: String {
        let system = systemIdentifier.map { String($0, radix: 16) } ?? ""
        let timeline = timeline.map { String($0, radix: 16) } ?? ""
        return "1.\(system).\(timeline).\(String(position, radix: 16))"
    }

    /// Reads what ``description`` wrote; `nil` for anything else.
    public init?(_ description: String) {
        // Longer than any token: not worth looking at.
        guard description.utf8.count <= 64 else { return nil }
        let parts = description.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "1", let position = Self.number(parts[3], UInt64.self) else { return nil }
        let system = Self.number(parts[1], UInt64.self)
        let timeline = Self.number(parts[2], UInt32.self)
        guard system != nil || parts[1].isEmpty, timeline != nil || parts[2].isEmpty else { return nil }
        self.init(systemIdentifier: system, timeline: timeline, position: position)
    }

    /// Digits and lower-case letters only: no sign, no spaces.
    private static func number<Number: FixedWidthInteger>(_ text: Substring, _ type: Number.Type) -> Number? {
        guard text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else { return nil }
        return Number(text, radix: 16)
    }
}

extension CommitToken: Codable {
    /// As its text.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let token = CommitToken(text) else {
            throw DecodingError.dataCorrupted(
                DecodingError.Context(codingPath: decoder.codingPath, debugDescription: "not a commit token")
            )
        }
        self = token
    }

    /// As its text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// What Patroni says of its cluster: the answer to `GET /cluster`.
public struct PatroniCluster: Sendable, Hashable {
    /// A Patroni and its PostgreSQL.
    public struct Member: Sendable, Hashable {
        /// Its name in Patroni's configuration.
        public var name: String
        /// `leader`, `standby_leader`, `sync_standby`, `quorum_standby`, `replica`; older versions say `master`.
        public var role: String
        /// `running`, `streaming`, `starting`, `stopped`, `creating replica` and so on.
        public var state: String
        /// Where PostgreSQL is reached, as `connect_address` says; `nil` while Patroni does not know.
        public var host: String?
        /// PostgreSQL's port, from 1 to 65535.
        public var port: Int?
        /// The timeline that it is on.
        public var timeline: UInt32?
        /// Bytes that it is behind; `nil` for the leader, and where Patroni does not know.
        public var lag: UInt64?
        /// Names of tags that are switched on: `noloadbalance`, `nofailover`, `nosync` and so on.
        public var tags: Set<String>

        /// Whether it holds the leader's lock of a cluster that takes writes.
        public var isLeader: Bool { role == "leader" || role == "master" }
        /// Whether the operator wants no reads there.
        public var takesNoReads: Bool { tags.contains("noloadbalance") }
    }

    /// All members, in the order of their names.
    public var members: [Member]
    /// Whether Patroni only watches (`patronictl pause`).
    public var isPaused: Bool

    /// The one member that leads; `nil` if none does, or several say so.
    public var leader: Member? {
        let leaders = members.filter(\.isLeader)
        return leaders.count == 1 ? leaders[0] : nil
    }

    /// No cluster is that large; a longer list is none.
    static let mostMembers = 256

    /// Reads an answer. What Patroni does not document may be there; what it documents must be what it says.
    ///
    /// - Parameter json: The body of the answer.
    /// - Throws: ``PatroniError`` with code `malformedAnswer`.
    public init(json: [UInt8]) throws(PatroniError) {
        let document: Document
        do {
            document = try JSONDecoder().decode(Document.self, from: Data(json))
        } catch {
            let what = Self.what(error)
            throw PatroniError(.malformedAnswer, "The answer is not what Patroni says of a cluster: \(what).")
        }
        guard document.members.count <= Self.mostMembers else {
            throw PatroniError(.malformedAnswer, "The answer names \(document.members.count) members.")
        }
        for host in document.members.compactMap(\.member.host) where !Self.isHost(host) {
            throw PatroniError(.malformedAnswer, "The answer names a host that cannot be one.")
        }
        for port in document.members.compactMap(\.member.port) where !(1...65535).contains(port) {
            throw PatroniError(.malformedAnswer, "The answer names the port \(port).")
        }
        members = document.members.map(\.member).sorted { $0.name < $1.name }
        isPaused = document.pause ?? false
    }

    /// Where in the document, without what stands there: it may be anything.
    private static func what(_ error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, let context): "\(path(context)) has no \"\(key.stringValue)\""
        case DecodingError.typeMismatch(_, let context): "\(path(context)) is of another type"
        case DecodingError.valueNotFound(_, let context): "\(path(context)) is null"
        default: "it is no JSON"
        }
    }

    private static func path(_ context: DecodingError.Context) -> String {
        let keys = context.codingPath.prefix(8).map { $0.intValue.map(String.init) ?? $0.stringValue }
        return keys.isEmpty ? "the document" : keys.joined(separator: ".")
    }

    /// A name or an address. libpq would take a comma for a list, and a slash for a directory of this machine.
    static func isHost(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
                case UInt8(ascii: "0")...UInt8(ascii: "9"): true
                default: "-._:%".utf8.contains(byte)
                }
            }
    }
}

// MARK: - The document. Names are Patroni's.

private struct Document: Decodable {
    var members: [DocumentMember]
    var pause: Bool?
}

private struct DocumentMember: Decodable {
    var member: PatroniCluster.Member

    private enum Key: String, CodingKey {
        case name, role, state, host, port, timeline, lag, tags
    }

    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        member = PatroniCluster.Member(
            name: try values.decode(String.self, forKey: .name),
            role: try values.decode(String.self, forKey: .role),
            state: try values.decodeIfPresent(String.self, forKey: .state) ?? "unknown",
            host: try values.decodeIfPresent(String.self, forKey: .host),
            port: try values.decodeIfPresent(Int.self, forKey: .port),
            // Words stand here where Patroni does not know.
            timeline: try? values.decodeIfPresent(UInt32.self, forKey: .timeline),
            lag: try? values.decodeIfPresent(UInt64.self, forKey: .lag),
            tags: Set((try values.decodeIfPresent([String: Tag].self, forKey: .tags) ?? [:]).filter(\.value.isOn).keys)
        )
    }
}

/// A tag's value: operators write what they like, and Patroni passes it on.
private struct Tag: Decodable {
    var isOn: Bool

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if let truth = try? value.decode(Bool.self) {
            isOn = truth
        } else if let word = try? value.decode(String.self) {
            isOn = ["true", "on", "yes", "1"].contains(word.lowercased())
        } else if let number = try? value.decode(Double.self) {
            isOn = number != 0
        } else {
            isOn = false
        }
    }
}

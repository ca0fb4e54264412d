// SPDX-License-Identifier: Apache-2.0

/// Parameter values by keyword, each with where it came from. Earlier layers win: a connection string before a service,
/// a service before the environment.
struct ParameterTable: Sendable {
    enum Origin: Sendable, Hashable, CustomStringConvertible {
        case connectionString
        case option(String)
        case service(String)
        case environment(String)

        var description: String {
            switch self {
            case .connectionString: "the connection string"
            case .option(let label): "the parameter \(label)"
            case .service(let name): "the service \"\(name)\""
            case .environment(let variable): "the environment variable \(variable)"
            }
        }
    }

    struct Entry: Sendable {
        /// Every value is kept hidden: only what asks for it by name sees it.
        let value: Secret
        let origin: Origin
    }

    private(set) var entries: [String: Entry] = [:]

    subscript(_ keyword: String) -> Entry? { entries[keyword] }

    /// The value, if it is given and not empty.
    func text(_ keyword: String) -> String? {
        guard let text = entries[keyword]?.value.revealed, !text.isEmpty else { return nil }
        return text
    }

    mutating func set(_ keyword: String, _ value: String, from origin: Origin) {
        entries[keyword] = Entry(value: Secret(value), origin: origin)
    }

    /// Sets a value unless an earlier layer did, even to the empty string.
    mutating func complete(_ keyword: String, _ value: String, from origin: Origin) {
        if entries[keyword] == nil { set(keyword, value, from: origin) }
    }
}

// SPDX-License-Identifier: Apache-2.0

/// Reads a connection string as libpq does, a URI or keyword/value pairs, into values by keyword.
///
/// Works on bytes: libpq's syntax is one of bytes, and a `Character` may hide a separator behind a combining mark.
/// Deviations from libpq, all of them refusals of what libpq would take in a way the writer hardly meant: a parameter
/// given twice; a NUL byte (libpq stops there) or text that is not UTF-8 after decoding; an `@` left over in a URI's hosts,
/// or in its path after a `:`, which shows a password that was not percent-encoded; ports of the authority that are no
/// ports; in keyword/value pairs, an empty value before a blank and another pair. `load_balance_hosts` is known whatever the version of libpq.
///
/// Errors never quote a password, nor text that may be part of one because it was not encoded or quoted.
struct ConnectionStringParser {
    let text: [UInt8]
    private let libpqVersion: Int
    private(set) var values: [String: String] = [:]
    /// Keywords whose value may be given once more: in a URI's query, those that the parts before it gave; and `sslmode`
    /// after one of its aliases.
    var replaceable: Set<String> = []

    private init(text: [UInt8], libpqVersion: Int) {
        self.text = text
        self.libpqVersion = libpqVersion
    }

    /// The values that the connection string gives, by keyword. An empty value is a value.
    static func parse(_ string: String, libpqVersion: Int) throws(ConnectionStringError) -> [String: String] {
        var parser = ConnectionStringParser(text: Array(string.utf8), libpqVersion: libpqVersion)
        try parser.parse()
        return parser.values
    }

    private mutating func parse() throws(ConnectionStringError) {
        if let position = text.firstIndex(of: 0) {
            throw ConnectionStringError(
                .invalidText,
                "the connection string holds a NUL byte, which libpq cannot carry; remove it",
                position: position + 1
            )
        }
        for scheme in ["postgresql://", "postgres://"] where text.starts(with: scheme.utf8) {
            return try parseURI(from: scheme.utf8.count)
        }
        if let scheme = foreignScheme() {
            throw ConnectionStringError(
                .unsupportedScheme,
                "the connection string begins with \"\(scheme):\"; a PostgreSQL URI begins with \"postgresql://\" or "
                    + "\"postgres://\", in lower case"
            )
        }
        try parseKeywordValuePairs()
    }

    /// What precedes a `:` at the very start; no keyword holds one, so this is some URI, which must not be quoted further.
    private func foreignScheme() -> String? {
        let letters = text.prefix { isLetterOrDigit($0) || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-") }
        guard let first = letters.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first),
            letters.endIndex < text.endIndex, text[letters.endIndex] == UInt8(ascii: ":")
        else { return nil }
        return String(decoding: letters, as: UTF8.self)
    }

    // MARK: What both syntaxes share

    /// How likely an unknown keyword is part of a password that was not quoted or encoded.
    enum Suspicion {
        /// Not at all: an error may quote it.
        case none
        /// It follows a password: an error quotes it if it looks like a keyword, lower-case letters and underscores.
        case followsSecret
        /// It is in the place of one: never quoted.
        case standsForSecret
    }

    /// Stores a value, refusing what libpq does not know and what was given before.
    mutating func store(
        _ keyword: String,
        _ value: String,
        suspicion: Suspicion = .none,
        position: Int
    ) throws(ConnectionStringError) {
        guard let known = ConnectionKeyword.named(keyword) else {
            throw unknown(keyword, suspicion: suspicion, position: position)
        }
        guard known.isKnown(to: libpqVersion) else {
            throw ConnectionStringError(
                .unknownParameter,
                "the parameter \"\(keyword)\" needs libpq \(known.since) or later, and this is libpq "
                    + "\(libpqVersion / 10_000); remove it, or install a newer libpq",
                parameter: keyword,
                position: position
            )
        }
        let isFirst = values.updateValue(value, forKey: keyword) == nil
        let mayReplace = replaceable.remove(keyword) != nil
        guard isFirst || mayReplace else {
            throw ConnectionStringError(
                .duplicateParameter,
                "the parameter \"\(keyword)\" is given more than once; remove all but one",
                parameter: keyword,
                position: position
            )
        }
    }

    /// Stores what an alias of `sslmode` stands for. As in libpq the last word counts: an alias may replace the parameter
    /// and the other way round.
    mutating func storeAlias(of mode: SSLMode) {
        values["sslmode"] = mode.rawValue
        replaceable.insert("sslmode")
    }

    /// libpq's `requiressl`, which PostgreSQL left behind with version 7.4 and libpq still takes.
    mutating func storeRequireSSL(_ value: String) {
        storeAlias(of: value.utf8.first == UInt8(ascii: "1") ? .require : .prefer)
    }

    private func unknown(_ keyword: String, suspicion: Suspicion, position: Int) -> ConnectionStringError {
        guard mayQuote(keyword, suspicion) else {
            return ConnectionStringError(
                .unknownParameter,
                "a parameter's name is not one that libpq knows; if this text belongs to the value before it, that value "
                    + "must be quoted or percent-encoded",
                position: position
            )
        }
        let suggestion = KeywordSuggestion.closest(to: keyword).map { "did you mean \"\($0)\"?" }
        return ConnectionStringError(
            .unknownParameter,
            "there is no parameter \"\(keyword)\"; " + (suggestion ?? "see libpq's list of parameter key words"),
            parameter: keyword,
            position: position
        )
    }

    /// The bytes as text, which libpq does not ask for but every value here must be.
    func string(_ bytes: some Collection<UInt8>, position: Int) throws(ConnectionStringError) -> String {
        guard let string = String(validating: bytes, as: UTF8.self) else {
            throw ConnectionStringError(
                .invalidText,
                "a value is not UTF-8 once it is decoded; write its characters, or their UTF-8 bytes percent-encoded",
                position: position
            )
        }
        return string
    }

    private func mayQuote(_ keyword: String, _ suspicion: Suspicion) -> Bool {
        guard (1...64).contains(keyword.utf8.count) else { return false }
        switch suspicion {
        case .none: return keyword.utf8.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "_") }
        case .followsSecret:
            return keyword.utf8.allSatisfy { (0x61...0x7A).contains($0) || $0 == UInt8(ascii: "_") }
        case .standsForSecret: return false
        }
    }

    private func isLetterOrDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }
}

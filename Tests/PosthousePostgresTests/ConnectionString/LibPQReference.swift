// SPDX-License-Identifier: Apache-2.0
import CLibPQ

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The installed libpq, asked for its opinion.
enum LibPQReference {
    /// What `PQconninfoParse` makes of a connection string; nil if it refuses it.
    static func parse(_ text: String) -> [String: [UInt8]]? {
        guard let options = PQconninfoParse(text, nil) else { return nil }
        defer { PQconninfoFree(options) }
        var values: [String: [UInt8]] = [:]
        for option in sequence(first: options, next: { $0 + 1 }).prefix(while: { $0.pointee.keyword != nil }) {
            guard let value = option.pointee.val else { continue }
            values[String(cString: option.pointee.keyword)] = bytes(of: value)
        }
        return values
    }

    private static func bytes(of text: UnsafePointer<CChar>) -> [UInt8] {
        (0..<strlen(text)).map { UInt8(bitPattern: text[$0]) }
    }

    /// The keywords that libpq knows, with their environment variables.
    static func keywords() -> [String: String?] {
        guard let options = PQconndefaults() else { return [:] }
        defer { PQconninfoFree(options) }
        var keywords: [String: String?] = [:]
        for option in sequence(first: options, next: { $0 + 1 }).prefix(while: { $0.pointee.keyword != nil }) {
            keywords[String(cString: option.pointee.keyword)] = .some(option.pointee.envvar.map { String(cString: $0) })
        }
        return keywords
    }

    struct Connection {
        var host: String
        var port: String
        var user: String
        var database: String
        var password: String
        var error: String
    }

    /// What a connection with these parameters would be, as far as libpq gets before it opens a socket: an invalid
    /// parameter stops it there.
    static func prepare(_ parameters: [(keyword: String, value: String)]) -> Connection {
        let all = parameters.filter { $0.keyword != "channel_binding" } + [("channel_binding", "stop here")]
        let keywords = all.map { strdup($0.keyword) } + [nil]
        let values = all.map { strdup($0.value) } + [nil]
        defer { (keywords + values).forEach { free($0) } }
        let connection = PQconnectStartParams(keywords.map { UnsafePointer($0) }, values.map { UnsafePointer($0) }, 0)
        defer { PQfinish(connection) }
        func text(_ pointer: UnsafePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }
        return Connection(
            host: text(PQhost(connection)),
            port: text(PQport(connection)),
            user: text(PQuser(connection)),
            database: text(PQdb(connection)),
            password: text(PQpass(connection)),
            error: text(PQerrorMessage(connection))
        )
    }
}

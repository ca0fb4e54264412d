// SPDX-License-Identifier: Apache-2.0
import Posthouse

/// A snapshot of a cluster, for people and for programs.
struct StatusReport {
    private let snapshot: ClusterSnapshot

    init(_ snapshot: ClusterSnapshot) {
        self.snapshot = snapshot
    }

    /// One object with the keys of the command line's contract.
    var json: JSONValue {
        .document([
            "hosts": .array(snapshot.hosts.map(Self.json)),
            "primary": .optional(snapshot.primary),
            "fence_level": .string(snapshot.fenceLevel.rawValue),
        ])
    }

    private static func json(_ host: ClusterSnapshot.Host) -> JSONValue {
        let (name, port) = split(host.host)
        return [
            "host": .string(name),
            "port": port.map { .integer($0) } ?? nil,
            "role": .string(role(of: host)),
            "state": .string(host.state.rawValue),
            "reason": .optional(host.reason),
            "timeline": host.report?.timeline.map { .integer(Int64($0)) } ?? nil,
            // A string: it does not fit the integers that JSON readers of other languages have.
            "system_identifier": .optional(host.report?.systemIdentifier.map(String.init)),
            "lag_bytes": host.lag.map { .integer(Int64(clamping: $0.bytes)) } ?? nil,
            "lag_ms": host.lag.map { .milliseconds($0.time) } ?? nil,
            "response_time_ms": host.responseTime.map(JSONValue.milliseconds) ?? nil,
        ]
    }

    /// A table with one line for each host.
    var table: String {
        var table = TextTable("HOST", "ROLE", "STATE", "TIMELINE", "LAG", "RESPONSE", "REASON")
        for host in snapshot.hosts {
            table.append(
                host.host,
                Self.role(of: host),
                host.state.rawValue,
                host.report?.timeline.map { String($0) } ?? "-",
                host.lag.map { "\($0.bytes) B" } ?? "-",
                host.responseTime.map { "\($0.milliseconds) ms" } ?? "-",
                host.reason ?? ""
            )
        }
        return table.description
    }

    private static func role(of host: ClusterSnapshot.Host) -> String {
        host.role == .readOnlyPrimary ? HostRole.primary.rawValue : host.role.rawValue
    }

    static func split(_ endpoint: String) -> (host: String, port: Int64?) {
        guard let colon = endpoint.lastIndex(of: ":") else { return (endpoint, nil) }
        var host = endpoint[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return (String(host), Int64(endpoint[endpoint.index(after: colon)...]))
    }
}

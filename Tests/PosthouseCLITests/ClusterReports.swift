// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// What `posthouse cluster` prints with `--json`.
struct Report: Equatable {
    var names: [String]
    var ports: [Int]
    var roles: [String]
    var states: [String]
    var pids: [Int32?]
    var dsn: String?

    static let none = Report(names: [], ports: [], roles: [], states: [], pids: [], dsn: nil)

    init(names: [String], ports: [Int], roles: [String], states: [String], pids: [Int32?], dsn: String?) {
        self.names = names
        self.ports = ports
        self.roles = roles
        self.states = states
        self.pids = pids
        self.dsn = dsn
    }

    init(_ run: CommandRun) throws {
        let object = try #require(try run.object(), "\(run.errors)")
        #expect(object["version"] as? Int == 1)
        #expect(Set(object.allKeys.compactMap { $0 as? String }) == ["version", "nodes", "dsn"])
        let nodes = try #require(object["nodes"] as? [NSDictionary])
        names = try nodes.map { try #require($0["name"] as? String) }
        ports = try nodes.map { try #require($0["port"] as? Int) }
        roles = try nodes.map { try #require($0["role"] as? String) }
        states = try nodes.map { try #require($0["state"] as? String) }
        pids = try nodes.map { try #require($0["pid"]) as? Int32 }
        dsn = object["dsn"] as? String
    }
}

/// A directory that does not exist yet; afterwards there is no cluster in it, whatever the test did.
func withDirectory(_ body: (String) async throws -> Void) async throws {
    let parent = FileManager.default.temporaryDirectory.resolvingSymlinksInPath()
        .appending(path: "cluster-test-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
    let directory = parent.appending(path: "a/cluster").path
    do {
        try await body(directory)
    } catch {
        _ = try await CommandRun("cluster", "down", "--directory", directory)
        try FileManager.default.removeItem(at: parent)
        throw error
    }
    _ = try await CommandRun("cluster", "down", "--directory", directory)
    try FileManager.default.removeItem(at: parent)
}

/// Whether a process is a running PostgreSQL server.
func isServer(_ pid: Int32?) -> Bool {
    guard let pid, let name = try? String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8) else { return false }
    let status = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
    return name.hasPrefix("postgres") && !status.contains(") Z ")
}

/// Whether a condition comes true within a generous time.
func eventually(_ condition: () throws -> Bool) async throws -> Bool {
    let deadline = ContinuousClock.now + .seconds(120)
    while ContinuousClock.now < deadline {
        if try condition() { return true }
        try await Task.sleep(for: .milliseconds(2))
    }
    return false
}

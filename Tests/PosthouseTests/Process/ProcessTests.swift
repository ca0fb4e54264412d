// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// What befalls our own process says nothing of the servers.
    @Suite struct ProcessTests {
        @Test func aProcessThatWasStoppedUnderLoadThrowsNoHostOut() async throws {
            let servers = try await SharedServers.get()
            let arguments = [
                "load", servers.dsn(), "--json", "--seconds", "8", "--clients", "8", "--role", "any", "--query",
                "SELECT 1",
            ]
            try await Child.running("posthouse", arguments) { child in
                for node in servers.nodes {
                    try await child.waitForLine("\(node.name) is seen up") { line in
                        line.contains("\"state_change\"") && line.contains(node.address)
                    }
                }
                try await child.waitForLine("the primary is seen") { $0.contains("\"primary_elected\"") }
                try await Task.sleep(for: .milliseconds(500))
                let before = child.lines.count
                child.send(SIGSTOP)
                try await Task.sleep(for: .seconds(5))
                child.send(SIGCONT)
                #expect(try await child.waitForEnd() == 0)
                let after = child.lines.dropFirst(before)
                let verdicts = after.filter { line in
                    ["state_change", "role_change", "primary_elected"].contains { line.contains("\"\($0)\"") }
                }
                #expect(verdicts.isEmpty)
                let summary = try #require(after.last { $0.contains("\"summary\"") })
                let figures = try #require(
                    try JSONSerialization.jsonObject(with: Data(summary.utf8)) as? [String: Any]
                )
                #expect(figures["errors"] as? Int == 0)
                #expect(figures["ok"] as? Int ?? 0 > 0)
            }
        }

        @Test func aStarvedProcessThrowsNoHostOutAndGoesOnWatching() async throws {
            let servers = try await SharedServers.get()
            try await Child.running("PosthouseTestApplication", ["starve", servers.dsn(), "6", "1"]) { child in
                #expect(try await child.waitForEnd() == 0)
                let lines = child.lines
                #expect(lines.last == "done", "\(lines)")
                #expect(!lines.contains { $0.hasPrefix("event") }, "\(lines)")
                let answers = try #require(lines.first { $0.hasPrefix("answers") })
                let counts = answers.split { !$0.isNumber }.compactMap { Int($0) }
                // The first of them may be from before.
                #expect(counts.count == 3 && counts.allSatisfy { $0 >= 2 }, "\(answers)")
            }
        }

        @Test func aStarvedProcessThatLosesItsSessionsThrowsNoHostOut() async throws {
            let servers = try await SharedServers.get()
            let dsn = servers.dsn(parameters: ["application_name": "starving"])
            try await Child.running("PosthouseTestApplication", ["starve", dsn, "2", "3"]) { child in
                for round in 1...3 {
                    try await child.waitForLine("round \(round)") { $0 == "starving, round \(round)" }
                    try await terminateSessions(named: "starving", on: servers)
                }
                #expect(try await child.waitForEnd() == 0)
                #expect(child.lines.last == "done", "\(child.lines)")
                #expect(!child.lines.contains { $0.hasPrefix("event") }, "\(child.lines)")
            }
        }

        @Test func aProcessWithoutFileDescriptorsThrowsNoHostOut() async throws {
            let servers = try await SharedServers.get()
            let dsn = servers.dsn(parameters: ["application_name": "exhausted"])
            try await Child.running("PosthouseTestApplication", ["exhaust", dsn]) { child in
                try await child.waitForLine("it has no descriptor left") { $0 == "exhausted" }
                try await terminateSessions(named: "exhausted", on: servers)
                // Long enough for a few attempts to reconnect.
                try await Task.sleep(for: .seconds(1))
                child.type("go on\n")
                #expect(try await child.waitForEnd() == 0)
                #expect(child.lines.last == "done", "\(child.lines)")
                #expect(!child.lines.contains { $0.hasPrefix("event") }, "\(child.lines)")
            }
        }

        private func terminateSessions(named name: String, on servers: LocalCluster) async throws {
            for node in servers.nodes {
                try await node.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '\(name)'"
                )
            }
        }

        /// Aims: 40 MB, half a percent of a core.
        @Test func anIdleClusterIsWeighed() async throws {
            let servers = try await SharedServers.get()
            let seconds = ProcessInfo.processInfo.environment["POSTHOUSE_TEST_IDLE_SECONDS"] ?? "2"
            try await Child.running("PosthouseTestApplication", ["idle", servers.dsn(), "10", seconds]) { child in
                #expect(try await child.waitForEnd() == 0)
                let line = try #require(child.lines.last)
                print(line)
                #expect(line.hasPrefix("idle connections=[10, 10, 10]"))
            }
        }
    }
}

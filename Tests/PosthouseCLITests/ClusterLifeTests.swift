// SPDX-License-Identifier: Apache-2.0
import Foundation
import PosthouseTestKit
import Testing

extension CommandsWithServers {
    /// `posthouse cluster`: clusters that outlive the command.
    @Suite(.timeLimit(.minutes(20)))
    struct ClusterLifeTests {
        @Test func upIsIdempotentAndDownLeavesNothing() async throws {
            try await withDirectory { directory in
                let first = try await CommandRun("cluster", "up", "--directory", directory, "--replicas", "1", "--json")
                #expect(first.status == 0)
                let report = try Report(first)
                #expect(report.roles == ["primary", "replica"])
                #expect(report.states == ["up", "up"])
                #expect(report.names == ["node1", "node2"])
                #expect(report.pids.allSatisfy { $0 != nil })
                let hosts = report.ports.map { "127.0.0.1:\($0)" }.joined(separator: ",")
                #expect(report.dsn == "postgresql://postgres@\(hosts)/postgres")

                let second = try await CommandRun("cluster", "up", "--directory", directory)
                #expect(second.status == 0)
                #expect(second.output == report.dsn.map { "\($0)\n" })
                #expect(second.errors.contains("posthouse cluster down --directory \(directory)"))
                let status = try await CommandRun("cluster", "status", "--directory", directory, "--json")
                #expect(try Report(status).pids == report.pids)

                let down = try await CommandRun("cluster", "down", "--directory", directory, "--json")
                #expect(down.status == 0)
                #expect(try Report(down) == Report.none)
                #expect(!FileManager.default.fileExists(atPath: directory))
                for pid in report.pids { #expect(!isServer(pid)) }
                #expect(try await CommandRun("cluster", "down", "--directory", directory).status == 0)
            }
        }

        @Test func nodesDieArePromotedFreezeAndComeBack() async throws {
            try await withDirectory { directory in
                func run(_ command: String, _ arguments: String...) async throws -> Report {
                    let run = try await CommandProcess(
                        ["cluster", command, "--directory", directory, "--json"] + arguments
                    ).end()
                    #expect(run.status == 0, "\(command) \(arguments): \(run.errors)")
                    return try Report(run)
                }
                _ = try await run("up", "--replicas", "2")
                #expect(try await run("kill", "node1").states == ["down", "up", "up"])
                let promoted = try await run("promote")
                #expect(promoted.roles == ["primary", "primary", "replica"])
                #expect(try await run("promote", "primary").pids == promoted.pids)
                #expect(try await run("start", "node1").states == ["up", "up", "up"])
                #expect(try await run("pause", "\(promoted.ports[2])").states == ["up", "up", "paused"])
                #expect(try await run("resume").states == ["up", "up", "up"])
                #expect(try await run("stop", "primary", "--mode", "immediate").states == ["up", "down", "up"])
                // Whole again: the primary runs, and the former one follows it.
                let whole = try await run("up")
                #expect(whole.states == ["up", "up", "up"])
                #expect(whole.roles == ["replica", "primary", "replica"])
                #expect(whole.ports == promoted.ports)
                #expect(try await run("stop").states == ["down", "down", "down"])
                #expect(try await run("start").roles == ["replica", "primary", "replica"])
                #expect(try await run("rejoin", "node1").roles == ["replica", "primary", "replica"])
                #expect(try await run("kill").pids == [nil, nil, nil])
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension CommandsWithServers {
    /// `posthouse cluster`: clusters that outlive the command.
    @Suite(.timeLimit(.minutes(20)))
    struct LocalClusterCommandsTests {
        private func nodes(_ run: CommandRun) throws -> [String: NSDictionary] {
            let nodes = try #require(run.object()?["nodes"] as? [NSDictionary], "\(run.errors)")
            return Dictionary(nodes.compactMap { node in (node["name"] as? String).map { ($0, node) } }) { $1 }
        }

        @Test func aFailoverByHandLeavesAStalePrimaryThatStatusKnows() async throws {
            let folder = FileManager.default.temporaryDirectory.appending(path: "posthouse-cli-\(UUID().uuidString)")
                .path
            func cluster(_ arguments: String...) async throws -> CommandRun {
                try await CommandProcess(["cluster"] + arguments + ["--directory", folder, "--json"]).end()
            }
            let up = try await cluster("up", "--replicas", "1")
            #expect(up.status == 0, "\(up.errors)")
            let dsn = try #require(try up.object()?["dsn"] as? String)
            #expect(try nodes(up).mapValues { $0["role"] as? String } == ["node1": "primary", "node2": "replica"])
            #expect(try nodes(await cluster("up")).count == 2, "a second up finds it running")

            #expect(try nodes(await cluster("kill", "node1"))["node1"]?["state"] as? String == "down")
            #expect(try nodes(await cluster("promote", "node2"))["node2"]?["role"] as? String == "primary")
            #expect(try nodes(await cluster("start", "node1"))["node1"]?["state"] as? String == "up")
            let status = try await CommandRun("status", dsn, "--json", "--timeout", "60")
            #expect(status.status == 0)
            let hosts = try #require(status.object()?["hosts"] as? [NSDictionary])
            #expect(hosts.map { $0["state"] as? String } == ["quarantined", "up"])
            #expect((hosts[0]["reason"] as? String)?.contains("timeline 1") == true)

            #expect(try nodes(await cluster("pause", "node2"))["node2"]?["state"] as? String == "paused")
            #expect(try nodes(await cluster("resume", "node2"))["node2"]?["state"] as? String == "up")
            #expect(try await cluster("stop", "nobody").status == 64)
            #expect(try await cluster("down").status == 0)
            #expect(!FileManager.default.fileExists(atPath: folder))
            #expect(try await cluster("status").status == 1)
        }
    }
}

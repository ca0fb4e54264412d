// SPDX-License-Identifier: Apache-2.0
import Foundation
import PosthouseTestKit
import Testing

extension CommandsWithServers {
    /// `status`, `exec` and `load` against real servers.
    @Suite(.timeLimit(.minutes(20)))
    struct ClusterCommandsTests {
        private func hosts(_ run: CommandRun) throws -> [NSDictionary] {
            try #require(run.object()?["hosts"] as? [NSDictionary])
        }

        @Test func statusAndExecTellOfEachHostAndRole() async throws {
            try await LocalCluster.withCluster(LocalCluster.Configuration(replicas: 1)) { servers in
                let status = try await CommandRun("status", servers.dsn(), "--json", "--timeout", "60")
                #expect(status.status == 0)
                let hosts = try hosts(status)
                #expect(hosts.map { $0["role"] as? String } == ["primary", "replica"])
                #expect(hosts.allSatisfy { $0["state"] as? String == "up" && $0["timeline"] as? Int == 1 })
                #expect(Set(hosts.compactMap { $0["system_identifier"] as? String }).count == 1)
                #expect(try status.object()?["primary"] as? String == "127.0.0.1:\(servers.primary.port)")

                let rows = try await CommandRun(
                    "exec",
                    servers.dsn(),
                    "--json",
                    "--role",
                    "replica",
                    "SELECT $1::int + 1 AS n, $2::text AS t, NULL AS nothing, pg_is_in_recovery() AS r",
                    "41",
                    "it's"
                )
                #expect(rows.status == 0)
                let object = try #require(try rows.object())
                #expect(object["columns"] as? [String] == ["n", "t", "nothing", "r"])
                #expect((object["rows"] as? [NSArray])?.first == [42, "it's", NSNull(), true])
                #expect(object["role"] as? String == "replica")
                #expect(object["host"] as? String == "127.0.0.1:\(servers.replicas[0].port)")

                let failed = try await CommandRun("exec", servers.dsn(), "SELECT * FROM nowhere")
                #expect(failed.status == 1)
                #expect(failed.output.isEmpty)
                #expect(failed.errors.contains("42P01"))

                try await servers.primary.stop(.immediate)
                let orphaned = try await CommandRun("exec", servers.dsn(), "--timeout", "5", "SELECT 1")
                #expect(orphaned.status == 75)
                #expect(orphaned.errors.contains("127.0.0.1:\(servers.nodes[0].port): down"))
                let withoutPrimary = try await CommandRun("status", servers.dsn(), "--json", "--timeout", "60")
                #expect(withoutPrimary.status == 75)
                try await servers.nodes[1].stop(.immediate)
                let nobody = try await CommandRun("status", servers.dsn(), "--json", "--timeout", "60")
                #expect(nobody.status == 69)
                #expect(try self.hosts(nobody).allSatisfy { $0["state"] as? String == "down" })
                let unreachable = try await CommandRun("exec", servers.dsn(), "--timeout", "5", "SELECT 1")
                #expect(unreachable.status == 69)
            }
        }

        @Test func loadReportsWhatUsersFelt() async throws {
            try await LocalCluster.withCluster(LocalCluster.Configuration(replicas: 1)) { servers in
                for executor in ["default", "loop"] {
                    let run = try await CommandRun(
                        "load",
                        servers.dsn(),
                        "--seconds",
                        "2",
                        "--clients",
                        "4",
                        "--json",
                        "--executor",
                        executor
                    )
                    #expect(run.status == 0)
                    let summary = try #require(try run.objects().last)
                    #expect(summary["event"] as? String == "summary")
                    #expect((summary["ok"] as? Int ?? 0) > 0)
                    #expect(summary["errors"] as? Int == 0)
                    for key in ["ops_per_second", "p50_ms", "p99_ms", "p999_ms", "longest_outage_ms", "errors_by_code"]
                    {
                        #expect(summary[key] != nil, "\(key)")
                    }
                }
            }
        }

        @Test func anInterruptedLoadStillSummarises() async throws {
            try await LocalCluster.withCluster(LocalCluster.Configuration(replicas: 0)) { servers in
                let load = try CommandProcess(["load", servers.dsn(), "--seconds", "60", "--json"])
                while !load.output.contains("primary_elected") { try await Task.sleep(for: .milliseconds(5)) }
                load.signal(SIGINT)
                let run = await load.end()
                #expect(run.status == 130)
                #expect(try run.objects().last?["event"] as? String == "summary")
            }
        }

        @Test func badUsageIsExitCode64() async throws {
            for arguments in [
                ["status", "postgresql://h:badport/db"], ["exec", "postgresql://h/db?nonsense=1", "SELECT 1"],
                ["load", "postgresql://h/db", "--seconds", "-1"], ["load", "postgresql://h/db", "--clients", "0"],
                ["status"], ["exec", "postgresql://h/db", "--role", "king", "SELECT 1"],
            ] {
                let run = try await CommandProcess(arguments).end()
                #expect(run.status == 64, "\(arguments)")
                #expect(run.output.isEmpty)
                #expect(!run.errors.isEmpty)
            }
        }
    }
}

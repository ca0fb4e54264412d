// SPDX-License-Identifier: Apache-2.0
import Foundation
import PosthouseTestKit
import Testing

extension CommandsWithServers {
    /// `posthouse cluster`, when it is used wrongly, interrupted, killed, or finds things changed.
    @Suite(.timeLimit(.minutes(20)))
    struct ClusterTroubleTests {
        @Test func wrongInputIsRefusedWithCode64() async throws {
            let wrong: [[String]] = [
                ["up", "--replicas", "-1"], ["up", "--replicas=-1"], ["up", "--replicas", "16"],
                ["up", "--replicas", "two"],
                ["up", "--base-port", "0"], ["up", "--base-port", "65535"], ["up", "--base-port", "http"],
                ["up", "--directory", ""], ["up", "node1"], ["stop", "--mode", "gentle"], ["stop", "--timeout", "0"],
                ["rejoin"], ["explode"],
            ]
            for arguments in wrong {
                let run = try await CommandProcess(["cluster"] + arguments).end()
                #expect(run.status == 64, "\(arguments)")
                #expect(run.output.isEmpty)
                #expect(!run.errors.isEmpty)
            }
        }

        @Test func withoutAClusterCommandsSayHowToStartOne() async throws {
            try await withDirectory { directory in
                for command in ["status", "promote", "stop", "start", "kill", "pause", "resume"] {
                    let run = try await CommandRun("cluster", command, "--directory", directory, "--json")
                    #expect(run.status == 1)
                    #expect(run.output.isEmpty)
                    #expect(run.errors.contains("`posthouse cluster up --directory \(directory)` starts one"))
                }
            }
        }

        @Test func aClusterStaysAsItWasMade() async throws {
            try await withDirectory { directory in
                let up = try await CommandRun("cluster", "up", "--directory", directory, "--replicas", "0", "--json")
                let port = try #require(try Report(up).ports.first)
                let more = try await CommandRun("cluster", "up", "--directory", directory, "--replicas", "1")
                #expect(more.status == 1)
                #expect(more.errors.contains("has 0 replicas"))
                let elsewhere = try await CommandRun("cluster", "up", "--directory", directory, "--base-port", "2001")
                #expect(elsewhere.status == 1)
                #expect(elsewhere.errors.contains("base port \(port)"))
                let same = try await CommandRun(
                    "cluster",
                    "up",
                    "--directory",
                    directory,
                    "--base-port",
                    "\(port)",
                    "--replicas",
                    "0",
                    "--json"
                )
                #expect(try Report(same).pids == Report(up).pids)

                #expect(try await CommandRun("cluster", "kill", "--directory", directory, "nobody").status == 64)
                let taken = try await CommandRun(
                    "cluster",
                    "up",
                    "--directory",
                    directory + "2",
                    "--base-port",
                    "\(port)"
                )
                #expect(taken.status == 1)
                #expect(taken.errors.contains("Port \(port) is in use"))
                #expect(!FileManager.default.fileExists(atPath: directory + "2"))
            }
        }

        @Test func commandsAtOnceMakeOneCluster() async throws {
            try await withDirectory { directory in
                async let first = CommandRun("cluster", "up", "--directory", directory, "--replicas", "0", "--json")
                async let second = CommandRun("cluster", "up", "--directory", directory, "--replicas", "0", "--json")
                let runs = try await [first, second]
                #expect(runs.map(\.status) == [0, 0])
                #expect(try Report(runs[0]) == Report(runs[1]))
            }
        }

        @Test func anInterruptedUpLeavesNothing() async throws {
            try await withDirectory { directory in
                let up = try CommandProcess(["cluster", "up", "--directory", directory])
                #expect(try await eventually { FileManager.default.fileExists(atPath: directory + "/data/node1") })
                up.signal(SIGINT)
                let run = await up.end()
                #expect(run.status == 130)
                #expect(run.output.isEmpty)
                #expect(!FileManager.default.fileExists(atPath: directory))
            }
        }

        @Test func aKilledUpLeavesNoServersAndCanBeRepeated() async throws {
            try await withDirectory { directory in
                let up = try CommandProcess(["cluster", "up", "--directory", directory, "--replicas", "0"])
                #expect(try await eventually { FileManager.default.fileExists(atPath: directory + "/data/node1") })
                up.signal(SIGKILL)
                _ = await up.end()
                #expect(try await eventually { !FileManager.default.fileExists(atPath: directory + "/data") })
                let again = try await CommandRun("cluster", "up", "--directory", directory, "--replicas", "0", "--json")
                #expect(try Report(again).states == ["up"])
            }
        }

        @Test func aMachineThatWasStartedAnewIsNoTrouble() async throws {
            try await withDirectory { directory in
                let up = try await CommandRun("cluster", "up", "--directory", directory, "--replicas", "1", "--json")
                _ = try await CommandRun("cluster", "kill", "--directory", directory)
                // The process ids of before belong to others now: this test's process, for one.
                let file = directory + "/data/node1/data/postmaster.pid"
                let stale = try String(contentsOfFile: file, encoding: .utf8)
                let rest = stale.drop { $0.isNumber }
                try "\(getpid())\(rest)".write(toFile: file, atomically: false, encoding: .utf8)
                let status = try await CommandRun("cluster", "status", "--directory", directory, "--json")
                #expect(try Report(status).states == ["down", "down"])
                #expect(try Report(status).pids == [nil, nil])
                let again = try await CommandRun("cluster", "up", "--directory", directory, "--json")
                #expect(try Report(again).states == ["up", "up"])
                #expect(try Report(again).ports == Report(up).ports)

                // And the temporary directory may have been emptied.
                _ = try await CommandRun("cluster", "kill", "--directory", directory)
                try FileManager.default.removeItem(atPath: directory + "/data")
                let gone = try await CommandRun("cluster", "status", "--directory", directory)
                #expect(gone.status == 0)
                #expect(gone.errors.contains("files are gone"))
                let anew = try await CommandRun("cluster", "up", "--directory", directory, "--replicas", "0", "--json")
                #expect(try Report(anew).states == ["up"])
            }
        }

        @Test func aRecordThatCannotBeReadIsNotTakenForNoCluster() async throws {
            try await withDirectory { directory in
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                try "{}".write(toFile: directory + "/cluster.json", atomically: false, encoding: .utf8)
                for command in ["up", "down", "status", "start"] {
                    let run = try await CommandRun("cluster", command, "--directory", directory)
                    #expect(run.status == 1)
                    #expect(run.errors.contains("cluster.json"))
                }
                try FileManager.default.removeItem(atPath: directory)
            }
        }

        @Test(.enabled(if: geteuid() == 0, "Only root runs servers as another user."))
        func whereTheServersUserCannotGoTheFilesAreElsewhere() async throws {
            try await withDirectory { directory in
                let parent = URL(filePath: directory).deletingLastPathComponent().path
                try FileManager.default.createDirectory(
                    atPath: parent,
                    withIntermediateDirectories: true,
                    attributes: [.posixPermissions: 0o700]
                )
                let up = try await CommandRun("cluster", "up", "--directory", directory, "--replicas", "1", "--json")
                #expect(try Report(up).states == ["up", "up"])
                let record = try Data(contentsOf: URL(filePath: directory + "/cluster.json"))
                let folder = try #require(
                    (try JSONSerialization.jsonObject(with: record) as? NSDictionary)?["folder"] as? String
                )
                #expect(!folder.hasPrefix(directory))
                #expect(FileManager.default.fileExists(atPath: folder))
                #expect(try await CommandRun("cluster", "down", "--directory", directory).status == 0)
                #expect(!FileManager.default.fileExists(atPath: folder))
                #expect(!FileManager.default.fileExists(atPath: directory))
            }
        }

        @Test func downTouchesNothingThatIsNotTheClusters() async throws {
            try await withDirectory { directory in
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                try "mine".write(toFile: directory + "/notes.txt", atomically: false, encoding: .utf8)
                _ = try await CommandRun("cluster", "up", "--directory", directory, "--replicas", "0")
                #expect(try await CommandRun("cluster", "down", "--directory", directory).status == 0)
                #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["notes.txt"])
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import PosthouseTestKit

extension LocalServers {
    @Suite(
        .timeLimit(.minutes(20)),
        .enabled("needs root and iptables") { await PacketFilter.isAvailable() }
    )
    struct PacketFilterTests {
        @Test func packetsAreDroppedAndRejectedAndComeThroughAgain() async throws {
            let filter = try await PacketFilter.install()
            do {
                try await LocalCluster.withCluster { cluster in
                    let port = cluster.primary.port
                    #expect(await answer(of: port) == nil)
                    for direction in [PacketFilter.Direction.both, .toServer, .toClient] {
                        try await filter.drop(port, direction)
                        #expect(await answer(of: port, within: .seconds(2)) == .timedOut, "\(direction)")
                        try await filter.heal()
                        #expect(await answer(of: port) == nil)
                    }
                    try await filter.reject(port)
                    #expect(await answer(of: port) == .connectionFailed)
                    try await filter.heal()
                    #expect(await answer(of: port) == nil)
                    // The kit sees the server all the time, on another way.
                    #expect(try await cluster.primary.value(of: "SELECT 1") == "1")
                }
            } catch {
                await filter.remove()
                throw error
            }
            await filter.remove()
            await filter.remove()
            #expect(try await !chains().contains(filter.chain))
        }

        @Test func aStatementRunsWhoseAnswerIsDropped() async throws {
            let filter = try await PacketFilter.install()
            do {
                try await LocalCluster.withCluster(.init(setUp: ["CREATE TABLE horses (name text)"])) { cluster in
                    let (port, node) = (cluster.primary.port, cluster.primary)
                    let sleeping = Task {
                        try await offCooperativePool { () throws(LocalClusterError) in
                            try QuerySession.run(
                                "SELECT pg_sleep(5); INSERT INTO horses VALUES ('Marengo')",
                                at: .port(port),
                                database: "postgres",
                                node: "node1",
                                deadline: .now + .seconds(15)
                            )
                        }
                    }
                    #expect(
                        try await waitUntilTrue {
                            try await node.value(
                                of: "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                            ) == "1"
                        }
                    )
                    try await filter.drop(port, .toClient)
                    let error = await #expect(throws: LocalClusterError.self) { try await sleeping.value }
                    #expect(error?.code == .timedOut)
                    #expect(try await node.value(of: "SELECT count(*) FROM horses") == "1")
                }
            } catch {
                await filter.remove()
                throw error
            }
            await filter.remove()
        }

        @Test func aProcessThatIsKilledLeavesNoRules() async throws {
            let result = await #expect(processExitsWith: .signal(SIGKILL), observing: [\.standardOutputContent]) {
                let filter = try await PacketFilter.install()
                try await filter.drop(1)
                // The test binary writes to the standard output too: a line of its own.
                _ = Array("\n\(filter.chain)\n".utf8).withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
                kill(getpid(), SIGKILL)
                try await Task.sleep(for: .seconds(60))
                await filter.remove()
            }
            let lines = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self).split(separator: "\n")
            let chain = try #require(lines.map(String.init).first { $0.hasPrefix("posthouse-") })
            #expect(try await waitUntilTrue { try await !chains().contains(chain) })
        }

        /// Nil if the server answers.
        private func answer(of port: Int, within limit: Duration = .seconds(60)) async -> LocalClusterError.Code? {
            do throws(LocalClusterError) {
                _ = try await offCooperativePool { () throws(LocalClusterError) in
                    try QuerySession.run(
                        "SELECT 1",
                        at: .port(port),
                        database: "postgres",
                        node: "node1",
                        deadline: .now + limit
                    )
                }
                return nil
            } catch {
                return error.code
            }
        }
    }
}

/// The chains of all filters of this machine.
private func chains() async throws -> Set<String> {
    let folder = try await offCooperativePool { () throws(LocalClusterError) in
        try Watchdog.inTemporaryFolder(prefix: "posthouse", user: ServerUser(name: "", change: nil))
    }
    let file = "\(folder.folder)/rules"
    try await ChildProcess(
        path: try InstalledProgram.path(of: "iptables"),
        arguments: ["-w", "-S"],
        directory: folder.folder,
        output: file,
        user: ServerUser(name: "", change: nil)
    ).run(within: .seconds(60))
    let lines = (Files.text(of: file) ?? "").split(separator: "\n")
    try folder.cleanUp()
    return Set(lines.filter { $0.hasPrefix("-N posthouse-") }.map { String($0.dropFirst(3)) })
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@testable import PosthouseTestKit

extension LocalServers {
    /// Against real servers.
    @Suite(.timeLimit(.minutes(20)))
    struct LocalClusterTests {
        @Test func aClusterBootsWithReplicasThatStream() async throws {
            let cluster = try await LocalCluster.start(
                .init(replicas: 2, settings: ["max_connections": "37"], setUp: ["CREATE TABLE horses (name text)"])
            )
            #expect(cluster.nodes.map(\.name) == ["node1", "node2", "node3"])
            #expect(cluster.primary === cluster.nodes[0])
            let streams = try await cluster.primary.query(
                "SELECT application_name, state FROM pg_stat_replication ORDER BY 1"
            )
            #expect(streams == [["node2", "streaming"], ["node3", "streaming"]])
            for node in cluster.nodes {
                let status = try await node.status()
                #expect(status.state == .up)
                #expect(status.role == (node === cluster.primary ? .primary : .replica))
                #expect(try await node.pids().contains(status.pid ?? 0))
                #expect(try await node.timeline() == 1)
                #expect(try await node.value(of: "SHOW max_connections") == "37")
                #expect(try await node.value(of: "SELECT count(*) FROM horses") == "0")
                // Ctrl-C in a terminal goes to the whole session: the servers are not in ours.
                #expect(getsid(status.pid ?? 0) != getsid(0))
                #expect(node.logTail().contains("ready to accept"))
            }
            try await cluster.primary.query("INSERT INTO horses VALUES ('Bucephalus')")
            try await cluster.waitUntilCaughtUp()
            for node in cluster.replicas {
                #expect(try await node.query("SELECT * FROM horses") == [["Bucephalus"]])
            }
            let identifiers = try await cluster.nodes.asyncMap { try await $0.systemIdentifier() }
            #expect(Set(identifiers).count == 1)
            try await cluster.shutdown()
            #expect(!Files.exists(cluster.folder))
            try await cluster.shutdown()
        }

        @Test func aReplicaIsPromotedAndTakesWritesAndTheOtherFollowsIt() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: ["CREATE TABLE horses (name text)"])) {
                cluster in
                let (old, new, other) = (cluster.nodes[0], cluster.nodes[1], cluster.nodes[2])
                try await old.stop(.immediate)
                #expect(try await old.status() == LocalNode.Status(role: .primary, state: .down, pid: nil))
                try await cluster.failOver(to: new)
                #expect(cluster.primary === new)
                #expect(new.role == .primary)
                try await new.query("INSERT INTO horses VALUES ('Rocinante')")
                try await other.waitUntilCaughtUp(with: new)
                #expect(try await other.value(of: "SELECT name FROM horses") == "Rocinante")
                #expect(try await other.timeline() == 2)
                #expect(try await error { try await new.promote() }.code == .notAReplica)
            }
        }

        @Test func aPrimaryThatWasReplacedComesBackAsItWasAndRejoins() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: ["CREATE TABLE horses (name text)"])) {
                cluster in
                let (old, new) = (cluster.nodes[0], cluster.nodes[1])
                try await old.kill()
                #expect(try await old.pids().isEmpty)
                try await cluster.failOver(to: new)
                try await new.query("INSERT INTO horses VALUES ('Silver')")

                try await old.start()
                #expect(try await old.timeline() == 1)
                #expect(try await new.timeline() == 2)
                // Split brain: both take writes.
                try await old.query("INSERT INTO horses VALUES ('Trigger')")
                #expect(try await error { try await old.follow(new) }.code == .notAReplica)

                try await old.rejoin(following: new)
                #expect(old.role == .replica)
                try await old.waitUntilStreaming(from: new)
                try await old.waitUntilCaughtUp(with: new)
                #expect(try await old.query("SELECT name FROM horses") == [["Silver"]])
                #expect(try await old.timeline() == 2)
                #expect(try await error { try await old.query("DELETE FROM horses") }.sqlState == "25006")
            }
        }

        @Test func aPausedNodeIsSilentUntilItIsResumed() async throws {
            try await LocalCluster.withCluster { cluster in
                let node = cluster.primary
                // Sessions have processes of their own, which must freeze too.
                async let sleeper = node.query("SELECT pg_sleep(3), 'slept'")
                #expect(
                    try await waitUntilTrue {
                        try await node.value(of: "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
                            == "1"
                    }
                )
                try await node.pause()
                #expect(try await node.status().state == .paused)
                for pid in try await node.pids() { #expect(ProcessFolder.state(of: pid) == "T") }
                #expect(
                    try await error { try await node.query("SELECT 1", within: .milliseconds(200)) }.code == .timedOut
                )
                try await node.resume()
                #expect(try await sleeper == [["", "slept"]])
                #expect(try await node.value(of: "SELECT 1") == "1")

                try await node.pause()
                try await node.stop(.immediate)
                #expect(try await node.status().state == .down)
                #expect(try await error { try await node.pause() }.code == .notRunning)
            }
        }

        @Test func eachWayToStopAndStartEndsAsItSays() async throws {
            try await LocalCluster.withCluster { cluster in
                let node = cluster.primary
                for mode in LocalNode.StopMode.allCases {
                    try await node.stop(mode)
                    try await node.stop(mode)
                    #expect(try await node.pids().isEmpty)
                    #expect(try await error { try await node.query("SELECT 1") }.code == .connectionFailed)
                    try await node.start()
                    try await node.start()
                    #expect(try await node.value(of: "SELECT 1") == "1")
                }
                // A smart stop lasts as long as a session does.
                async let session = try? node.query("SELECT pg_sleep(600)", within: .seconds(60))
                #expect(
                    try await waitUntilTrue {
                        try await node.value(of: "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
                            == "1"
                    }
                )
                #expect(try await error { try await node.stop(.smart, within: .milliseconds(100)) }.code == .timedOut)
                try await node.stop(.fast)
                #expect(await session == nil)
            }
        }

        @Test func aServerThatCannotStartSaysWhyAndLeavesNothing() async throws {
            let failure = try await error {
                _ = try await LocalCluster.start(.init(settings: ["max_connections": "many"]))
            }
            #expect(failure.code == .startFailed)
            #expect(failure.node == "node1")
            #expect(failure.log?.contains("max_connections") == true)
            let refused = try await error { _ = try await LocalCluster.start(.init(setUp: ["SELECT nothing"])) }
            #expect(refused.code == .queryFailed)
            #expect(refused.sqlState == "42703")
        }

        @Test func wrongConfigurationsAreRefused() async throws {
            let wrong: [LocalCluster.Configuration] = [
                .init(replicas: -1), .init(replicas: 16), .init(basePort: 0), .init(replicas: 1, basePort: 65535),
                .init(settings: ["a b": "1"]), .init(settings: ["a": "1\nb"]), .init(settings: ["port": "5432"]),
                .init(hostBasedAuthentication: ["local all\nall"]),
            ]
            for configuration in wrong {
                #expect(
                    try await error { _ = try await LocalCluster.start(configuration) }.code == .invalidConfiguration
                )
            }
        }

        @Test func clustersAtOnceAreStrangersToEachOther() async throws {
            async let first = LocalCluster.start(.init(replicas: 1))
            async let second = LocalCluster.start(.init(replicas: 1))
            let clusters = try await [first, second]
            #expect(Set(clusters.flatMap { $0.nodes.map(\.port) }).count == 4)
            let identifiers = try await clusters.asyncMap { try await $0.primary.systemIdentifier() }
            #expect(identifiers[0] != identifiers[1])
            try await clusters[0].primary.query("CREATE TABLE only_here (id int)")
            #expect(try await error { try await clusters[1].primary.query("TABLE only_here") }.sqlState == "42P01")
            try await clusters[0].shutdown()
            #expect(try await clusters[1].primary.value(of: "SELECT 1") == "1")
            try await clusters[1].shutdown()
        }

        @Test func portsAreBelowTheEphemeralRangeAndReserved() async throws {
            let text = try #require(Files.text(of: "/proc/sys/net/ipv4/ip_local_port_range"))
            let lowest = try #require(Int(text.prefix { $0.isNumber }))
            let reservations = try (0..<50).map { _ in try PortReservation.any() }
            #expect(Set(reservations.map(\.port)).count == 50)
            if lowest > 4096 { #expect(reservations.allSatisfy { $0.port < lowest }) }
            let taken = reservations[0].port
            #expect(try await error { _ = try PortReservation.exactly(taken) }.code == .noFreePort)
            #expect(
                try await error { _ = try await LocalCluster.start(.init(basePort: taken)) }.code == .noFreePort
            )
            for ephemeral in [1024...65535, 2048...60999, 32768...60999, 9000...65535, 10...20] {
                #expect(PortReservation.candidates(ephemeral: ephemeral).count > 1000)
            }
            #expect(PortReservation.candidates(ephemeral: 32768...60999).upperBound == 32768)
        }

        @Test func tlsAndPasswordsAsTheCallerWants() async throws {
            let configuration = LocalCluster.Configuration(
                hostBasedAuthentication: [
                    "hostssl all alice 127.0.0.1/32 scram-sha-256", "host all alice 127.0.0.1/32 reject",
                ],
                setUp: ["CREATE ROLE alice LOGIN PASSWORD 'Ännchen & co'"],
                tls: true
            )
            try await LocalCluster.withCluster(configuration) { cluster in
                let root = try #require(cluster.rootCertificate)
                func psql(_ parameters: [String: String], password: String) async throws {
                    let dsn = cluster.dsn(user: "alice", password: password, parameters: parameters)
                    try await ChildProcess(
                        path: cluster.layout.installation.path(of: "psql"),
                        arguments: ["-XAtqc", "SELECT 1", dsn],
                        directory: cluster.folder,
                        output: "\(cluster.folder)/psql.log",
                        user: cluster.layout.user
                    ).run(within: .seconds(120))
                }
                try await psql(["sslmode": "verify-full", "sslrootcert": root], password: "Ännchen & co")
                let wrong = try await error { try await psql(["sslmode": "require"], password: "wrong") }
                #expect(wrong.log?.contains("password authentication failed") == true)
                let plain = try await error { try await psql(["sslmode": "disable"], password: "Ännchen & co") }
                #expect(plain.log?.contains("reject") == true)
            }
        }

        @Test func aReplicaThatFollowsThroughAProxyLagsWhenTheProxyIsSilent() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: ["CREATE TABLE horses (name text)"])) {
                cluster in
                let proxy = try FaultProxy(to: cluster.primary)
                let replica = cluster.nodes[1]
                try await replica.follow(port: proxy.port)
                try await proxy.waitUntilOpen(1)
                try await replica.waitUntilStreaming(from: cluster.primary)
                try await proxy.apply(.blackHole())
                try await cluster.primary.query("INSERT INTO horses VALUES ('Silver')")
                let late = try await error {
                    try await replica.waitUntilCaughtUp(with: cluster.primary, within: .milliseconds(100))
                }
                #expect(late.code == .timedOut)
                try await proxy.heal()
                try await replica.waitUntilCaughtUp(with: cluster.primary)
                #expect(try await replica.value(of: "SELECT name FROM horses") == "Silver")
                await proxy.close()
            }
        }

        @Test func aSynchronousReplicaIsNamedAsTheNodeIs() async throws {
            let settings = ["synchronous_standby_names": "node2", "synchronous_commit": "remote_apply"]
            try await LocalCluster.withCluster(.init(replicas: 1, settings: settings)) { cluster in
                try await cluster.primary.query("CREATE TABLE horses (name text)")
                #expect(try await cluster.nodes[1].value(of: "SELECT count(*) FROM horses") == "0")
                #expect(try await cluster.primary.value(of: "SELECT sync_state FROM pg_stat_replication") == "sync")
            }
        }

        @Test func cancellingAWaitEndsIt() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1)) { cluster in
                try await cluster.primary.pause()
                let replica = cluster.nodes[1]
                let waiting = Task { try await replica.waitUntilStreaming(from: replica, within: .seconds(600)) }
                waiting.cancel()
                await #expect(throws: LocalClusterError.self) { try await waiting.value }
            }
        }
    }
}

/// The error that `body` must throw.
func error(_ body: () async throws -> Void) async throws -> LocalClusterError {
    try #require(await #expect(throws: LocalClusterError.self) { try await body() })
}

extension Sequence {
    func asyncMap<Result>(_ transform: (Element) async throws -> Result) async rethrows -> [Result] {
        var results: [Result] = []
        for element in self { results.append(try await transform(element)) }
        return results
    }
}

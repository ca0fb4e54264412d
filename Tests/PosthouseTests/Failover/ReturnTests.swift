// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Servers that go and come back, while an application writes and reads.
    @Suite struct ReturnTests {
        /// Runs an application over a primary and two replicas, and checks its ledger against the node that `body` returns.
        private func withApplication(
            settings: [String: String] = [:],
            configuration: ClusterConfiguration = ClusterConfiguration(acquireTimeout: .seconds(30)),
            _ body: (LocalCluster, PostgresCluster, Application) async throws -> LocalNode
        ) async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, settings: settings, setUp: [Application.table])) {
                servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: configuration)
                try await cluster.ready()
                let application = Application(on: cluster, writers: 4, readers: 4)
                let last: LocalNode
                do {
                    try await application.work()
                    last = try await body(servers, cluster, application)
                    try await application.work(writes: 100, reads: 50)
                    await application.stop()
                } catch {
                    await application.stop()
                    throw error
                }
                let failures = application.ledger.failures + application.reads.failures
                #expect(failures.allSatisfy { $0.isTyped })
                let reckoning = try await application.reckon(with: last)
                print("\(last.name): \(reckoning); errors: \(application.ledger.failuresByLabel)")
                #expect(reckoning.isClean, "\(reckoning)")
                await cluster.close()
            }
        }

        @Test func twoFailoversInARowLeadToTheLastPrimary() async throws {
            // A commit waits for all that may be promoted later.
            let settings = ["synchronous_standby_names": "2 (node2, node3)"]
            try await withApplication(settings: settings) { servers, cluster, application in
                let (first, second, third) = (servers.nodes[0], servers.nodes[1], servers.nodes[2])
                for (node, standbys) in [(second, "node3"), (third, "")] {
                    try await node.query("ALTER SYSTEM SET synchronous_standby_names = '\(standbys)'")
                    try await node.reload()
                }
                try await first.kill()
                try await servers.failOver(to: second)
                // Whoever knows the second timeline can make the third.
                try await third.waitUntilStreaming(from: second)
                try await second.kill()
                try await servers.failOver(to: third)
                try await application.ledgerGrows(on: third)
                for old in [first, second] { try await old.start() }
                try await eventually("both old primaries are quarantined") {
                    cluster.snapshot().hosts.map(\.state) == [.quarantined, .quarantined, .up]
                }
                #expect(cluster.snapshot().timeline == 3)
                #expect(cluster.snapshot().primary == third.address)
                // Somebody must serve the reads.
                for old in [first, second] { try await old.rejoin(following: third) }
                return third
            }
        }

        @Test func rolesAreSwappedAndSwappedBack() async throws {
            try await withApplication { servers, cluster, application in
                for (old, new) in [(servers.nodes[0], servers.nodes[1]), (servers.nodes[1], servers.nodes[0])] {
                    // A primary that stops in order sends all it has written.
                    try await old.stop(.fast)
                    try await servers.failOver(to: new)
                    try await old.rewind(following: new)
                    try await eventually("the new roles are known") {
                        let hosts = cluster.snapshot().hosts
                        return cluster.snapshot().primary == new.address
                            && hosts.first { $0.host == old.address }?.serves == .replica
                    }
                    try await application.ledgerGrows(on: new)
                    try await eventually("the old primary serves reads") {
                        try await cluster.read { $0.host } == old.address
                    }
                    try await old.waitUntilStreaming(from: new)
                }
                #expect(cluster.snapshot().timeline == 3)
                return servers.nodes[0]
            }
        }

        @Test func aPrimaryThatWroteOnAloneIsRewoundAndServesReads() async throws {
            let settings = ["synchronous_standby_names": "node2"]
            try await withApplication(settings: settings) { servers, cluster, application in
                let (old, heir) = (servers.nodes[0], servers.nodes[1])
                try await heir.query("ALTER SYSTEM SET synchronous_standby_names = ''")
                try await heir.reload()
                try await old.kill()
                try await servers.failOver(to: heir)
                try await application.ledgerGrows(on: heir)
                try await old.start()
                try await eventually("it is quarantined") { cluster.snapshot().hosts[0].state == .quarantined }
                try await old.query("SET synchronous_commit = local; INSERT INTO ledger (id) VALUES (-1)")
                try await old.rewind(following: heir)
                try await eventually("it serves reads") { try await cluster.read { $0.host } == old.address }
                #expect(try await old.value(of: "SELECT count(*) FROM ledger WHERE id = -1") == "0")
                #expect(cluster.snapshot().hosts[0].state == .up)
                return heir
            }
        }

        @Test func readsOutliveTheReplicasAsTheyAreKilledOneByOneAndComeBack() async throws {
            let configuration = ClusterConfiguration(acquireTimeout: .seconds(30), fallbackPrimary: true)
            try await withApplication(configuration: configuration) { servers, cluster, application in
                let replicas = servers.replicas
                for node in replicas {
                    try await node.kill()
                    try await application.work(writes: 50, reads: 50)
                    try await eventually("\(node.name) is seen down") { state(of: node, in: cluster) == .down }
                }
                #expect(try await cluster.read { $0.host } == servers.primary.address)
                for node in replicas {
                    try await node.start()
                    try await eventually("\(node.name) serves again") {
                        try await cluster.read { $0.host } == node.address
                    }
                }
                #expect(try await cluster.read { $0.host } != servers.primary.address)
                #expect(application.ledger.failures.isEmpty, "the primary was well")
                return servers.primary
            }
        }

        @Test func anApplicationOutlivesTheDeathOfAllServers() async throws {
            try await withApplication { servers, cluster, application in
                for node in servers.nodes { try await node.kill() }
                try await eventually("all are seen down") { cluster.snapshot().hosts.allSatisfy { $0.state == .down } }
                for node in servers.nodes.reversed() { try await node.start() }
                try await application.ledgerGrows(on: servers.primary)
                return servers.primary
            }
        }

        /// As when an address is given to another machine, or a load balancer is set up wrongly.
        @Test func anAddressThatLeadsToAnotherClusterGetsNoStatementUntilItLeadsBack() async throws {
            try await LocalCluster.withCluster(
                .init(settings: ["log_statement": "all"], setUp: [Application.table])
            ) { foreign in
                let stranger = foreign.primary
                try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                    let proxies = try servers.nodes.map { try FaultProxy(to: $0) }
                    let hosts = proxies.map { "127.0.0.1:\($0.port)" }
                    let cluster = try PostgresCluster(
                        "postgresql://postgres@\(hosts.joined(separator: ","))/postgres",
                        configuration: ClusterConfiguration(acquireTimeout: .seconds(30))
                    )
                    try await cluster.ready()
                    let application = Application(on: cluster, writers: 4, readers: 4)
                    do {
                        for index in [2, 0] {
                            try await application.work()
                            try await proxies[index].retarget(to: stranger)
                            try await proxies[index].apply(.reset, to: .existing)
                            try await eventually("the stranger is quarantined") {
                                cluster.snapshot().hosts[index].state == .quarantined
                            }
                            let reason = try #require(cluster.snapshot().hosts[index].reason)
                            #expect(reason.hasPrefix("another cluster"))
                            for _ in 0..<50 { #expect(try await cluster.read { $0.host } != hosts[index]) }
                            try await proxies[index].retarget(to: servers.nodes[index])
                            try await proxies[index].apply(.reset, to: .existing)
                            try await eventually("it is used again") { cluster.snapshot().hosts[index].state == .up }
                        }
                        try await application.work()
                        await application.stop()
                    } catch {
                        await application.stop()
                        throw error
                    }
                    #expect(application.ledger.failures.allSatisfy { $0.isTyped })
                    #expect(try await application.reckon(with: servers.primary).isClean)
                    await cluster.close()
                    for proxy in proxies { await proxy.close() }
                }
                let logged = stranger.logTail(lines: 100_000)
                #expect(logged.contains("pg_is_in_recovery"), "the monitor asked it")
                #expect(!["INSERT INTO ledger (id)", "SELECT 1", "BEGIN"].contains { logged.contains($0) })
            }
        }

        private func state(of node: LocalNode, in cluster: PostgresCluster) -> HostState? {
            cluster.snapshot().hosts.first { $0.host == node.address }?.state
        }
    }
}

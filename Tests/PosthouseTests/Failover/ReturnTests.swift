// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Servers that go and come back, while an application writes and reads.
    @Suite struct ReturnTests {
        @Test func twoFailoversInARowLeadToTheLastPrimary() async throws {
            // A commit waits for all that may be promoted later.
            try await withApplication(settings: ["synchronous_standby_names": "2 (node2, node3)"]) { trial in
                let (servers, cluster) = (trial.servers, trial.cluster)
                let first = servers.primary
                try await first.kill()
                let second = try await LocalNode.foremost(of: servers.replicas)
                let third = try #require(servers.replicas.first { $0 !== second })
                try await second.waitOnCommit(for: [third])
                try await third.waitOnCommit(for: [])
                try await servers.failOver(to: second)
                // Whoever streams the second timeline can make the third.
                try await third.waitUntilStreaming(from: second)
                try await trial.application.ledgerGrows(on: second)
                try await second.kill()
                try await servers.failOver(to: third)
                try await trial.application.ledgerGrows(on: third)

                for old in [first, second] { try await old.start() }
                try await eventually("both old primaries are quarantined") {
                    trial.host(first)?.state == .quarantined && trial.host(second)?.state == .quarantined
                }
                #expect(cluster.snapshot().timeline == 3)
                #expect(cluster.snapshot().primary == third.address)
                #expect(trial.host(first)?.reason == "stale primary: it is on timeline 1, the cluster is on 3")
                #expect(trial.host(second)?.reason == "stale primary: it is on timeline 2, the cluster is on 3")
                try await trial.application.work(reads: 0)
                // Somebody must serve the reads.
                try await second.rewind(following: third)
                try await trial.readsReach(second)
                return third
            }
        }

        @Test func rolesAreSwappedAndSwappedBack() async throws {
            try await withApplication { trial in
                let servers = trial.servers
                for (old, new) in [(servers.nodes[0], servers.nodes[1]), (servers.nodes[1], servers.nodes[0])] {
                    // A primary that stops in order sends all that it has written.
                    try await old.stop(.fast)
                    try await servers.failOver(to: new)
                    try await old.rewind(following: new)
                    try await trial.readsReach(old)
                    #expect(trial.cluster.snapshot().primary == new.address)
                    #expect(trial.host(old)?.role == .replica)
                    try await trial.application.ledgerGrows(on: new)
                    // Who streams may be on the old timeline still, and would leave the new one out if it were promoted now.
                    try await old.waitUntilCaughtUp(with: new)
                    try await old.waitUntilStreaming(from: new)
                }
                #expect(trial.cluster.snapshot().timeline == 3)
                return servers.nodes[0]
            }
        }

        @Test func aPrimaryThatWroteOnAloneIsRewoundAndServesReads() async throws {
            try await withApplication(settings: ["synchronous_standby_names": "node2"]) { trial in
                let (old, heir) = (trial.servers.nodes[0], trial.servers.nodes[1])
                try await heir.waitOnCommit(for: [])
                try await old.kill()
                try await trial.servers.failOver(to: heir)
                try await trial.application.ledgerGrows(on: heir)
                try await old.start()
                try await eventually("it is quarantined") { trial.host(old)?.state == .quarantined }
                try await old.query("SET synchronous_commit = local; INSERT INTO ledger (id) VALUES (-1)")

                try await old.rewind(following: heir)
                try await trial.readsReach(old)
                #expect(trial.host(old)?.state == .up)
                try await old.waitUntilCaughtUp(with: heir)
                #expect(try await old.value(of: "SELECT count(*) FROM ledger WHERE id = -1") == "0")
                return heir
            }
        }

        @Test func noReadIsLostWhileReplicasAreKilledOneByOneAndComeBack() async throws {
            let configuration = ClusterConfiguration(acquireTimeout: .seconds(30), fallbackPrimary: true)
            try await withApplication(configuration: configuration, leavesRetrying: true) { trial in
                let (servers, cluster) = (trial.servers, trial.cluster)
                for node in servers.replicas {
                    try await node.kill()
                    try await trial.application.work(writes: 50, reads: 50)
                    try await eventually("\(node.name) is seen down") { trial.host(node)?.state == .down }
                }
                let host = try await cluster.read { $0.host }
                #expect(host == servers.primary.address, "no replica is left")
                for node in servers.replicas {
                    try await node.start()
                    try await trial.readsReach(node)
                    try await trial.application.work(writes: 50, reads: 50)
                }
                for _ in 0..<50 {
                    let host = try await cluster.read { $0.host }
                    #expect(host != servers.primary.address)
                }
                #expect(trial.application.reads.failures.isEmpty)
                #expect(trial.application.ledger.failures.isEmpty, "the primary was well")
                return servers.primary
            }
        }

        @Test func anApplicationOutlivesTheDeathOfAllServers() async throws {
            try await withApplication { trial in
                let (servers, cluster) = (trial.servers, trial.cluster)
                for node in servers.nodes { try await node.kill() }
                try await eventually("all are seen down") { cluster.snapshot().hosts.allSatisfy { $0.state == .down } }
                #expect(cluster.snapshot().primary == nil)
                for node in servers.nodes.reversed() { try await node.start() }
                try await trial.application.ledgerGrows(on: servers.primary)
                for node in servers.replicas { try await trial.readsReach(node) }
                #expect(cluster.snapshot().timeline == 1)
                return servers.primary
            }
        }

        /// Runs an application over a primary and two replicas, and checks its ledger against the node that `body` returns.
        private func withApplication(
            settings: [String: String] = [:],
            configuration: ClusterConfiguration = ClusterConfiguration(acquireTimeout: .seconds(30)),
            leavesRetrying: Bool = false,
            _ body: (Trial) async throws -> LocalNode
        ) async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, settings: settings, setUp: [Application.table])) {
                servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: configuration)
                try await cluster.ready(timeout: .seconds(30))
                let application = Application(
                    on: cluster,
                    writers: 4,
                    readers: 4,
                    leavesRetrying: leavesRetrying,
                    rest: .milliseconds(1)
                )
                let last: LocalNode
                do {
                    try await application.work()
                    last = try await body(Trial(servers: servers, cluster: cluster, application: application))
                    try await application.work(writes: 100, reads: 50)
                    await application.stop()
                } catch {
                    await application.stop()
                    throw error
                }
                let untyped = (application.ledger.failures + application.reads.failures).filter { !$0.isTyped }
                #expect(untyped.isEmpty, "\(untyped)")
                let reckoning = try await application.reckon(with: last)
                print("\(last.name): \(reckoning); errors: \(application.ledger.failuresByLabel)")
                #expect(reckoning.isClean, "\(reckoning)")
                await cluster.close()
            }
        }
    }
}

/// What a trial has at hand.
private struct Trial {
    let servers: LocalCluster
    let cluster: PostgresCluster
    let application: Application

    func host(_ node: LocalNode) -> ClusterSnapshot.Host? {
        cluster.snapshot().hosts.first { $0.host == node.address }
    }

    func readsReach(_ node: LocalNode) async throws {
        try await eventually("\(node.name) serves reads") { try await cluster.read { $0.host } == node.address }
    }
}

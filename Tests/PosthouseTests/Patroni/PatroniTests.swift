// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthousePatroni
import PosthouseTestKit
import Testing

extension RealServers {
    /// Patroni decides who leads, and the application follows.
    @Suite(.enabled(if: LocalPatroni.isInstalled, "needs Patroni and etcd"))
    struct PatroniTests {
        @Test func anApplicationFollowsPatroniWhenTheLeaderIsKilled() async throws {
            try await withApplication { patroni, cluster, application in
                let former = try await patroni.leader()
                try await former.kill()
                let leader = try await patroni.waitForLeader(otherThan: former)
                try await application.ledgerGrows(on: leader.node)
                // It is rewound, and follows.
                try await former.start()
                try await patroni.waitUntilWhole()
                try await eventually("the one that was killed serves reads") {
                    try await cluster.read { $0.host } == former.node.address
                }
                return leader
            }
        }

        /// As a virtual machine that is paused; it comes back believing that it leads.
        @Test func anApplicationFollowsPatroniWhenTheLeaderIsFrozenAndComesBack() async throws {
            try await withApplication { patroni, cluster, application in
                let former = try await patroni.leader()
                try await former.freeze()
                let leader = try await patroni.waitForLeader(otherThan: former)
                try await application.ledgerGrows(on: leader.node)
                try await former.thaw()
                try await patroni.waitUntilWhole()
                try await eventually("the one that was frozen serves reads") {
                    try await cluster.read { $0.host } == former.node.address
                }
                return leader
            }
        }

        /// Runs an application over three members, and checks its ledger against the leader that `body` returns.
        private func withApplication(
            _ body: (LocalPatroni, PostgresCluster, Application) async throws -> PatroniMember
        ) async throws {
            // Only who has all that was acknowledged can be elected then.
            let configuration = LocalPatroni.Configuration(synchronous: true, setUp: [Application.table])
            try await LocalPatroni.withCluster(configuration) { patroni in
                let cluster = try PostgresCluster(
                    "postgresql://postgres@/postgres?sslmode=disable",
                    patroni: patroni.members.map(\.restURL),
                    // Until a lease has run out, on a slow machine too.
                    configuration: ClusterConfiguration(acquireTimeout: .seconds(60))
                )
                try await cluster.ready(primaries: 1, replicas: 2, timeout: .seconds(60))
                let application = Application(on: cluster, writers: 4, readers: 2, rest: .milliseconds(5))
                let leader: LocalNode
                do {
                    try await application.work()
                    leader = try await body(patroni, cluster, application).node
                    try await application.work(writes: 200, reads: 50)
                    await application.stop()
                } catch {
                    await application.stop()
                    throw error
                }
                #expect(cluster.snapshot().primary == leader.address)
                #expect(try await leader.timeline() == Int(cluster.snapshot().timeline ?? 0))
                let untyped = (application.ledger.failures + application.reads.failures).filter { !$0.isTyped }
                #expect(untyped.isEmpty, "\(untyped)")
                let reckoning = try await application.reckon(with: leader)
                print("Patroni: \(reckoning); errors: \(application.ledger.failuresByLabel)")
                #expect(reckoning.isClean, "\(reckoning)")
                await cluster.close()
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    @Suite struct StalePrimaryTests {
        @Test func anOldPrimaryThatComesBackGetsNoStatement() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let old = servers.nodes[0]
                let heir = servers.nodes[1]
                // For its next life.
                try await old.query("ALTER SYSTEM SET log_statement = 'all'")
                let cluster = try PostgresCluster(servers.dsn())
                try await cluster.ready()
                let application = Application(on: cluster, writers: 4, readers: 4)
                do {
                    try await application.work()
                    try await old.kill()
                    try await servers.failOver(to: heir)
                    try await application.work()

                    let logged = try log(of: old).utf8.count
                    try await old.start()
                    let before = try await old.value(of: "SELECT count(*) FROM ledger")
                    try await eventually("the old primary is quarantined") { host(0, of: cluster).state == .quarantined }
                    try await application.work(writes: 200, reads: 200)

                    let snapshot = cluster.snapshot()
                    #expect(snapshot.primary == heir.address)
                    #expect(snapshot.hosts[0].role == .primary)
                    #expect(
                        snapshot.hosts[0].reason == "stale primary: it is on timeline 1, the cluster is on 2"
                    )
                    #expect(snapshot.hosts[0].serves == [])
                    #expect(snapshot.hosts[0].pool.size == 0)
                    #expect(try await old.value(of: "SELECT count(*) FROM ledger") == before)
                    let sent = try log(of: old).utf8.dropFirst(logged)
                    let statements = String(decoding: sent, as: UTF8.self).split(separator: "\n")
                    #expect(statements.contains { $0.contains("pg_is_in_recovery") }, "the monitor asked it")
                    let ours = ["INSERT INTO ledger (id)", "SELECT 1", "BEGIN", "COMMIT"]
                    #expect(!statements.contains { line in ours.contains { line.contains($0) } })

                    try await old.rejoin(following: heir)
                    try await eventually("it serves reads again, as a replica") {
                        try await cluster.read { $0.host } == old.address
                    }
                    #expect(host(0, of: cluster).role == .replica)
                    await application.stop()
                } catch {
                    await application.stop()
                    throw error
                }
                #expect(application.ledger.failures.allSatisfy { $0.isTyped })
                #expect(application.ledger.acknowledged.allSatisfy { $0.host == old.address || $0.host == heir.address })
                let reckoning = try await application.reckon(with: heir)
                #expect(reckoning.duplicates == [] && reckoning.torn == [])
                await cluster.close()
            }
        }

        private func host(_ index: Int, of cluster: PostgresCluster) -> ClusterSnapshot.Host {
            cluster.snapshot().hosts[index]
        }

        private func log(of node: LocalNode) throws -> String {
            try String(contentsOfFile: node.logFile, encoding: .utf8)
        }
    }
}

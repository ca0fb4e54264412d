// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    @Suite struct PromotionTests {
        @Test func aPromotionBesideALivingPrimaryFencesIt() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn())
                let trial = FreezeTrial(servers: servers, cluster: cluster, freezes: false)
                let outcome = try await trial.run()
                await cluster.close()
                print(outcome)
                #expect(outcome.untyped.isEmpty)
                #expect(outcome.sentAfterFence.isEmpty)
                #expect(outcome.duplicates.isEmpty)
            }
        }

        @Test func whatRunsOnAReplicaGoesOnWhileItIsPromoted() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn())
                try await cluster.ready()
                let heir = servers.nodes[1]
                let lease = try await cluster.acquire(readOnly: true)
                let session = lease.session
                let process = session.backendPID
                let running = Task { try await session.queryValue("SELECT 'done' FROM pg_sleep(1)", as: String.self) }
                try await servers.primary.kill()
                try await heir.promote()
                #expect(try await cluster.write { $0.host } == heir.address)
                #expect(try await running.value == "done")
                // The same session may write now.
                try await session.execute("INSERT INTO ledger (id) VALUES (1)")
                try lease.release()
                // The writer above opened another one: it is one of the two.
                let first = try await cluster.acquire()
                let second = try await cluster.acquire()
                #expect([first.session.backendPID, second.session.backendPID].contains(process))
                try first.release()
                try second.release()
                await cluster.close()
            }
        }
    }
}

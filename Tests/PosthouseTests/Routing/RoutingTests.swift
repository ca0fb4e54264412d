// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    @Suite struct RoutingTests {
        private let servers: LocalCluster
        private let cluster: PostgresCluster

        init() async throws {
            servers = try await SharedServers.get()
            cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
        }

        @Test func writesGoToThePrimary() async throws {
            for _ in 0..<20 {
                let (recovering, host) = try await cluster.write { db in
                    (try await db.queryValue("SELECT pg_is_in_recovery()", as: Bool.self), db.host)
                }
                #expect(!recovering)
                #expect(host == servers.nodes[0].address)
            }
            await cluster.close()
        }

        @Test func readsGoToReplicasAndToAllOfThem() async throws {
            try await cluster.ready(timeout: .seconds(120))
            var hosts: Set<String> = []
            // The second one is used once a connection to it is open.
            try await eventually("all replicas are read from") {
                let (recovering, host) = try await cluster.read { db in
                    (try await db.queryValue("SELECT pg_is_in_recovery()", as: Bool.self), db.host)
                }
                #expect(recovering)
                hosts.insert(host)
                return hosts == Set(servers.replicas.map(\.address))
            }
            for _ in 0..<100 { #expect(try await cluster.read { $0.host } != servers.primary.address) }
            await cluster.close()
        }

        @Test func whoDoesNotMindGetsAnyHost() async throws {
            try await cluster.ready(timeout: .seconds(120))
            var hosts: Set<String> = []
            try await eventually("all hosts are used") {
                hosts.insert(
                    try await cluster.withAnyHost { db in
                        _ = try await db.query("SELECT 1")
                        return db.host
                    }
                )
                return hosts == Set(servers.nodes.map(\.address))
            }
            await cluster.close()
        }

        @Test func aLeaseLastsUntilItIsReleased() async throws {
            let lease = try await cluster.acquire()
            #expect(lease.host == servers.nodes[0].address)
            let session = lease.session
            try await session.execute("SELECT 1")
            #expect(cluster.snapshot().hosts[0].pool.leased == 1)
            try lease.release()
            #expect(cluster.snapshot().hosts[0].pool.leased == 0)
            let error = await #expect(throws: DatabaseError.self) { try await session.execute("SELECT 1") }
            #expect(error?.code == .leaseExpired)
            #expect(error?.outcome == .notSent)
            await cluster.close()
        }

        @Test func aLeaseForReadingCannotWrite() async throws {
            let lease = try await cluster.acquire(readOnly: true)
            let session = lease.session
            let error = await #expect(throws: DatabaseError.self) {
                try await session.execute("INSERT INTO ledger (id) VALUES (-1)")
            }
            #expect(error?.sqlState == .readOnlySQLTransaction)
            #expect(error?.outcome == .failed)
            try lease.release()
            await cluster.close()
        }

        @Test func readyMeansThatEveryHostCanBeUsed() async throws {
            try await cluster.ready(timeout: .seconds(120))
            let snapshot = cluster.snapshot()
            #expect(snapshot.hosts.allSatisfy { $0.state == .up })
            #expect(snapshot.primaries.map(\.host) == [servers.nodes[0].address])
            #expect(Set(snapshot.replicas.map(\.host)) == Set(servers.replicas.map(\.address)))
            try await cluster.ready(primaries: 1, replicas: 2, timeout: .seconds(120))
            let error = await #expect(throws: ClusterError.self) {
                try await cluster.ready(primaries: 1, replicas: 3, timeout: .milliseconds(50))
            }
            #expect(error?.code == .notReady)
            #expect(error?.hosts.count == 3)
            await cluster.close()
        }

        @Test func theSnapshotTellsWhatTheServersSayOfThemselves() async throws {
            try await cluster.ready(timeout: .seconds(120))
            let snapshot = cluster.snapshot()
            #expect(snapshot.primary == servers.nodes[0].address)
            #expect(snapshot.systemIdentifier.map(String.init) == (try await servers.primary.systemIdentifier()))
            #expect(snapshot.timeline == 1)
            #expect(snapshot.fenceLevel == .full)
            #expect(snapshot.hosts.map(\.role) == [.primary, .replica, .replica])
            #expect(snapshot.hosts.allSatisfy { $0.report?.timeline == 1 && $0.answeredAt != nil })
            #expect(snapshot.hosts.allSatisfy { $0.responseTime != nil && $0.medianResponseTime != nil })
            await cluster.close()
        }

        @Test func aReplicaThatDoesNotReplayLagsAndCatchesUp() async throws {
            try await cluster.ready(timeout: .seconds(120))
            let replica = servers.nodes[2]
            func lag() -> UInt64? { cluster.snapshot().hosts[2].lag?.bytes }
            try await eventually("the replica is level") { lag() == 0 }
            try await replica.query("SELECT pg_wal_replay_pause()")
            try await cluster.write { db in
                try await db.execute("INSERT INTO ledger (id) SELECT -1 FROM generate_series(1, 1000)")
            }
            try await eventually("the lag shows") { lag() ?? 0 > 10_000 }
            #expect(cluster.snapshot().hosts[2].state == .up)
            try await replica.query("SELECT pg_wal_replay_resume()")
            try await eventually("the replica is level again") { lag() == 0 }
            await cluster.close()
        }

        @Test func theOrderOfHostsInTheConnectionStringDoesNotMatter() async throws {
            let ports = servers.nodes.map(\.port)
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let hosts = order.map { "127.0.0.1:\(ports[$0])" }.joined(separator: ",")
                let cluster = try PostgresCluster("postgresql://postgres@\(hosts)/postgres")
                #expect(try await cluster.write { $0.host } == servers.nodes[0].address)
                #expect(try await cluster.read { $0.host } != servers.nodes[0].address)
                #expect(cluster.snapshot().hosts.map(\.host) == order.map { servers.nodes[$0].address })
                await cluster.close()
            }
            await cluster.close()
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Reads that bound how old their answers may be.
    @Suite struct LagTests {
        private static let frequent = ClusterConfiguration(refreshDelay: .milliseconds(50))

        private static func write(to cluster: PostgresCluster) async throws {
            try await cluster.write { db in
                try await db.execute("INSERT INTO ledger (id) SELECT -1 FROM generate_series(1, 1000)")
            }
        }

        @Test func readsLeaveAReplicaThatFallsBehindAndReturnToIt() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: Self.frequent)
                try await cluster.ready(timeout: .seconds(120))
                let slow = servers.replicas[0]
                let limit = LagLimit.bytes(10_000)
                func hosts() async throws -> Set<String> {
                    var hosts: Set<String> = []
                    for _ in 0..<20 { hosts.insert(try await cluster.read(maxLag: limit) { $0.host }) }
                    return hosts
                }
                let both = Set(servers.replicas.map(\.address))
                try await eventually("both replicas serve") { try await hosts() == both }
                try await slow.query("SELECT pg_wal_replay_pause()")
                try await Self.write(to: cluster)
                try await eventually("the slow one is left") { try await hosts() == [servers.replicas[1].address] }
                // Without a limit it goes on serving.
                try await eventually("it serves those who do not care") {
                    try await cluster.read { $0.host } == slow.address
                }
                try await slow.query("SELECT pg_wal_replay_resume()")
                try await eventually("both replicas serve again") { try await hosts() == both }
                await cluster.close()
            }
        }

        @Test func aReadThatWaitsForAFreshReplicaIsServedByTheFirst() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: [Application.table])) { servers in
                var configuration = Self.frequent
                configuration.staleness = StalenessPolicy(limit: .bytes(10_000))
                let cluster = try PostgresCluster(servers.dsn(), configuration: configuration)
                try await cluster.ready(timeout: .seconds(120))
                let slow = servers.replicas[0]
                try await slow.query("SELECT pg_wal_replay_pause()")
                try await Self.write(to: cluster)
                try await eventually("the lag shows") { cluster.snapshot().hosts[1].lag?.bytes ?? 0 > 10_000 }

                let error = await #expect(throws: ClusterError.self) {
                    try await cluster.read(timeout: .milliseconds(100)) { _ in }
                }
                #expect(error?.code == .noReplica)
                #expect(try await cluster.read(fallbackPrimary: true) { $0.host } == servers.primary.address)
                #expect(try await cluster.read(maxLag: .bytes(.max)) { $0.host } == slow.address)
                let stale = try await cluster.read(maxLag: .bytes(0), usesStaleReplicas: true) { $0.host }
                #expect(stale == slow.address)

                let waiting = Task { try await cluster.read(timeout: .seconds(120)) { $0.host } }
                try await eventually("it waits") { cluster.snapshot().waiting == 1 }
                try await slow.query("SELECT pg_wal_replay_resume()")
                #expect(try await waiting.value == slow.address)
                await cluster.close()
            }
        }

        /// Nothing is written: the time since the last commit grows, and no replica is behind.
        @Test func anIdlePrimaryHasFreshReplicas() async throws {
            let cluster = try PostgresCluster(await SharedServers.get().dsn(), configuration: Self.frequent)
            try await cluster.ready(timeout: .seconds(120))
            try await eventually("no replica is behind") {
                cluster.snapshot().replicas.allSatisfy { $0.lag == ReplicaLag(bytes: 0, time: .zero) }
            }
            #expect(try await cluster.read(maxLag: .time(.zero)) { $0.host } != cluster.snapshot().primary)
            await cluster.close()
        }

        @Test func aLimitThatMakesNoSenseIsRefused() async throws {
            let cluster = try PostgresCluster(await SharedServers.get().dsn())
            let error = await #expect(throws: ClusterError.self) {
                try await cluster.read(maxLag: .time(.seconds(-1))) { _ in }
            }
            #expect(error?.code == .invalidArgument)
            await cluster.close()
            #expect(throws: ClusterError.self) {
                let staleness = StalenessPolicy(limit: LagLimit(gracePeriod: .seconds(-1)))
                _ = try PostgresCluster("host=localhost", configuration: ClusterConfiguration(staleness: staleness))
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// All ways to ask for a connection, on a primary and two replicas.
    @Suite struct CallFormTests {
        private let servers: LocalCluster

        init() async throws {
            servers = try await SharedServers.get()
        }

        private func cluster(
            _ configure: (inout ClusterConfiguration) -> Void = { _ in }
        ) async throws -> PostgresCluster {
            var configuration = ClusterConfiguration()
            configuration.pool.minimumSize = 1
            configure(&configuration)
            let cluster = try PostgresCluster(servers.dsn(), configuration: configuration)
            try await cluster.ready(timeout: .seconds(120))
            try await eventually("all have a connection") {
                cluster.snapshot().hosts.allSatisfy { $0.pool.available > 0 }
            }
            return cluster
        }

        private func isReplica(_ db: DatabaseSession) async throws -> Bool {
            try await db.queryValue("SELECT pg_is_in_recovery()", as: Bool.self)
        }

        @Test func scopesReachTheHostsThatTheTargetNames() async throws {
            let cluster = try await cluster()
            for (target, expected) in [
                (HostTarget.readWrite, [false]), (.primary, [false]), (.standby, [true]), (.readOnly, [true]),
                (.preferStandby, [true]), (.any, [true, false]), ([.standby, .readWrite], [true]),
            ] {
                let found = try await cluster.withHost(target) { try await isReplica($0) }
                #expect(expected.contains(found), "\(target)")
            }
            for node in servers.nodes {
                #expect(try await cluster.withHost(named: node.address) { $0.host } == node.address)
            }
            await cluster.close()
        }

        @Test func leasesReachTheHostsThatTheirNameSays() async throws {
            let cluster = try await cluster()
            let primary = try await cluster.acquirePrimary(timeout: .seconds(60))
            let replica = try await cluster.acquireReplica(timeout: .seconds(60))
            #expect(try await !isReplica(primary.session))
            #expect(try await isReplica(replica.session))
            try primary.release()
            try replica.release()
            for node in servers.nodes {
                let lease = try await cluster.acquire(from: node.address)
                #expect(lease.host == node.address)
                _ = try await lease.session.query("SELECT 1")
                try lease.release()
            }
            let standby = try await cluster.acquire(.preferStandby)
            #expect(try await isReplica(standby.session))
            try standby.release()
            await cluster.close()
        }

        @Test func aShareOfTheReadsGoesToThePrimary() async throws {
            let cluster = try await cluster { $0.primaryAsReplicaWeight = 0.5 }
            var onPrimary = 0
            for _ in 0..<400 {
                if try await cluster.read({ $0.host }) == servers.primary.address { onPrimary += 1 }
            }
            // Six standard deviations.
            #expect((140...260).contains(onPrimary))
            for _ in 0..<20 {
                #expect(try await cluster.read(primaryAsReplicaWeight: 1) { $0.host } == servers.primary.address)
                #expect(try await cluster.read(primaryAsReplicaWeight: 0) { $0.host } != servers.primary.address)
            }
            await cluster.close()
        }

        @Test func readersTakeTurnsOnTheReplicas() async throws {
            let cluster = try await cluster { $0.balancing = .roundRobin }
            var hosts: [String] = []
            for _ in 0..<100 { hosts.append(try await cluster.read { $0.host }) }
            for replica in servers.replicas { #expect(hosts.count { $0 == replica.address } == 50) }
            await cluster.close()
        }

        @Test(arguments: ["random", "least"])
        func otherPoliciesUseAllReplicas(_ name: String) async throws {
            let cluster = try await cluster {
                if name == "random" { $0.balancing = .randomWeighted } else { $0.balancing = .leastLoad }
            }
            var hosts: Set<String> = []
            try await eventually("all replicas are read from") {
                hosts.insert(
                    try await cluster.read { db in
                        _ = try await db.query("SELECT 1")
                        return db.host
                    }
                )
                return hosts == Set(servers.replicas.map(\.address))
            }
            await cluster.close()
        }

        @Test func aCallsOwnTimeoutHolds() async throws {
            let cluster = try await cluster { $0.pool.maximumSize = 1 }
            let lease = try await cluster.acquirePrimary()
            let error = await #expect(throws: ClusterError.self) {
                try await cluster.acquirePrimary(timeout: .milliseconds(50)).release()
            }
            #expect(error?.code == .acquireTimedOut)
            let other = await #expect(throws: ClusterError.self) {
                try await cluster.withHost(named: servers.primary.address, timeout: .milliseconds(50)) { _ in }
            }
            #expect(other?.code == .acquireTimedOut)
            try lease.release()
            await cluster.close()
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    @Suite struct OutageTests {
        @Test func withoutAnyHostTheErrorNamesThemAllAndServiceResumesByItself() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2)) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
                try await cluster.ready(timeout: .seconds(120))
                for node in servers.nodes { try await node.kill() }
                try await eventually("all hosts are seen down") {
                    cluster.snapshot().hosts.allSatisfy { $0.state == .down }
                }
                let error = await #expect(throws: ClusterError.self) {
                    try await cluster.write(timeout: .milliseconds(200)) { _ in }
                }
                #expect(error?.code == .noHostReachable)
                #expect(error?.hosts.map(\.host) == servers.nodes.map(\.address))
                for node in servers.nodes {
                    #expect(error?.description.contains("\(node.address): down, ") == true, "\(node.name)")
                }
                #expect(error?.hosts.allSatisfy { $0.reason?.contains("refused") == true } == true)

                // Who waits is served as soon as there is somebody to serve.
                async let write = cluster.write(timeout: .seconds(120)) {
                    try await $0.queryValue("SELECT 1", as: Int.self)
                }
                async let read = cluster.read(timeout: .seconds(120)) {
                    try await $0.queryValue("SELECT 2", as: Int.self)
                }
                for node in servers.nodes { try await node.start() }
                #expect(try await write == 1)
                #expect(try await read == 2)
                try await cluster.ready(timeout: .seconds(120))
                await cluster.close()
            }
        }

        @Test func withoutAPrimaryTheErrorSaysSoAndReadsGoOn() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2)) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
                try await cluster.ready(timeout: .seconds(120))
                try await servers.primary.stop(.fast)
                try await eventually("the primary is seen down") { cluster.snapshot().hosts[0].state == .down }
                let error = await #expect(throws: ClusterError.self) {
                    try await cluster.write(timeout: .milliseconds(200)) { _ in }
                }
                #expect(error?.code == .noPrimary)
                #expect(error?.hosts.map(\.state) == [.down, .up, .up])
                #expect(error?.hosts.map(\.role) == [.unknown, .replica, .replica])
                for _ in 0..<20 { _ = try await cluster.read { try await $0.query("SELECT 1") } }

                async let write = cluster.write(timeout: .seconds(120)) { $0.host }
                try await servers.primary.start()
                #expect(try await write == servers.primary.address)
                await cluster.close()
            }
        }

        @Test func withoutReplicasReadsFallBackOnlyWhenAsked() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1)) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .patient)
                try await cluster.ready(timeout: .seconds(120))
                try await servers.nodes[1].kill()
                try await eventually("the replica is seen down") { cluster.snapshot().hosts[1].state == .down }
                let error = await #expect(throws: ClusterError.self) {
                    try await cluster.read(timeout: .milliseconds(200)) { _ in }
                }
                #expect(error?.code == .noReplica)
                #expect(try await cluster.read(fallbackPrimary: true) { $0.host } == servers.primary.address)
                await cluster.close()
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// A process that has just started knows nothing, and is asked to write at once.
    @Suite struct FirstElectionTests {
        private func cluster(of nodes: [LocalNode]) throws -> PostgresCluster {
            let hosts = nodes.map(\.address).joined(separator: ",")
            var configuration = ClusterConfiguration.unhurried
            // Whoever is there is heard, on a slow machine too.
            configuration.electionGrace = .seconds(5)
            return try PostgresCluster("postgresql://postgres@\(hosts)/postgres", configuration: configuration)
        }

        @Test func theFirstWriteDoesNotGoToAnotherCluster() async throws {
            let servers = try await SharedServers.get()
            try await LocalCluster.withCluster { stranger in
                for _ in 0..<30 {
                    let cluster = try cluster(of: stranger.nodes + servers.nodes)
                    #expect(try await cluster.write { $0.host } == servers.primary.address)
                    await cluster.close()
                }
            }
        }

        @Test func theFirstWriteDoesNotGoToAStalePrimary() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2)) { servers in
                let (old, heir) = (servers.nodes[0], servers.nodes[1])
                try await servers.failOver(to: heir)
                for _ in 0..<30 {
                    let cluster = try cluster(of: servers.nodes)
                    #expect(try await cluster.write { $0.host } == heir.address)
                    await cluster.close()
                }
                #expect(try await old.timeline() == 1)
            }
        }

        @Test func aHostThatDoesNotAnswerDoesNotHoldUpTheFirstWriteForLong() async throws {
            let servers = try await SharedServers.get()
            let proxy = try FaultProxy(to: servers.nodes[2])
            try await proxy.apply(.blackHole())
            let hosts = "127.0.0.1:\(proxy.port),\(servers.nodes[0].address)"
            let cluster = try PostgresCluster("postgresql://postgres@\(hosts)/postgres")
            // The acquire timeout is 5 s.
            #expect(try await cluster.write { $0.host } == servers.primary.address)
            await cluster.close()
            await proxy.close()
        }

        @Test func oneServerUnderTwoNamesIsOnePrimary() async throws {
            let servers = try await SharedServers.get()
            let port = servers.primary.port
            let cluster = try PostgresCluster("postgresql://postgres@127.0.0.1:\(port),localhost:\(port)/postgres")
            for _ in 0..<20 {
                #expect(try await cluster.write { try await $0.queryValue("SELECT 1", as: Int.self) } == 1)
            }
            try await cluster.ready(timeout: .seconds(120))
            let snapshot = cluster.snapshot()
            #expect(snapshot.primaries.count == 1)
            #expect(snapshot.hosts.map(\.state) == [.up, .up])
            #expect(snapshot.hosts.map(\.role) == [.primary, .primary])
            await cluster.close()
        }
    }
}

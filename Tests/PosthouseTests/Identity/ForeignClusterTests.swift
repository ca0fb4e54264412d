// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    @Suite struct ForeignClusterTests {
        @Test func aHostOfAnotherClusterGetsNoStatement() async throws {
            let servers = try await SharedServers.get()
            try await LocalCluster.withCluster(.init(setUp: [Application.table])) { foreign in
                let stranger = foreign.primary
                // The stranger comes first, and is a primary too.
                let ports = [stranger.port] + servers.nodes.map(\.port)
                let hosts = ports.map { "127.0.0.1:\($0)" }.joined(separator: ",")
                let cluster = try PostgresCluster("postgresql://postgres@\(hosts)/postgres")
                try await cluster.ready(primaries: 1, replicas: 2, timeout: .seconds(120))
                try await eventually("the stranger is quarantined") {
                    cluster.snapshot().hosts[0].state == .quarantined
                }
                for _ in 0..<50 {
                    #expect(try await cluster.write { $0.host } == servers.primary.address)
                    #expect(try await cluster.read { $0.host } != stranger.address)
                    #expect(try await cluster.withAnyHost { $0.host } != stranger.address)
                }
                let snapshot = cluster.snapshot()
                #expect(snapshot.primary == servers.primary.address)
                #expect(snapshot.systemIdentifier.map(String.init) == (try await servers.primary.systemIdentifier()))
                let reason = try #require(snapshot.hosts[0].reason)
                #expect(reason.hasPrefix("another cluster"))
                #expect(reason.contains(try await stranger.systemIdentifier()))
                #expect(snapshot.hosts[0].pool.size == 0)
                await cluster.close()
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Some providers keep the functions to themselves that tell a server's identity.
    @Suite struct FenceLevelTests {
        private static let controlFile = [
            "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pg_control_checkpoint() FROM PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pg_control_recovery() FROM PUBLIC",
        ]

        @Test(arguments: [
            (Array(controlFile.prefix(1)), FenceLevel.reduced),
            (controlFile, FenceLevel.reduced),
            (controlFile + ["REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC"], FenceLevel.none),
        ])
        func aServerThatKeepsItsIdentityToItselfIsUsedAllTheSame(
            _ refusals: [String],
            _ level: FenceLevel
        ) async throws {
            let setUp = ["CREATE ROLE app LOGIN", Application.table, "GRANT ALL ON ledger TO app"] + refusals
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: setUp)) { servers in
                let configuration = ClusterConfiguration(fallbackPrimary: true)
                let cluster = try PostgresCluster(servers.dsn(user: "app"), configuration: configuration)
                try await cluster.ready(timeout: .seconds(120))
                #expect(cluster.snapshot().fenceLevel == level)
                #expect(cluster.snapshot().hosts.map(\.role) == [.primary, .replica])
                let application = Application(on: cluster, writers: 2, readers: 1)
                do {
                    try await application.work()
                    try await servers.nodes[0].kill()
                    try await servers.failOver(to: servers.nodes[1])
                    try await application.ledgerGrows(on: servers.nodes[1])
                    await application.stop()
                } catch {
                    await application.stop()
                    throw error
                }
                #expect(cluster.snapshot().primary == servers.nodes[1].address)
                #expect(cluster.snapshot().fenceLevel == level)
                await cluster.close()
            }
        }
    }
}

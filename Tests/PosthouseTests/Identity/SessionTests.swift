// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseReactor
import PosthouseTestKit
import Testing

extension RealServers {
    /// What happens to sessions says little about their server.
    @Suite struct SessionTests {
        @Test func terminatedSessionsThrowNoHostOut() async throws {
            let servers = try await SharedServers.get()
            let cluster = try PostgresCluster(
                servers.dsn(parameters: ["application_name": "victim"]),
                configuration: .unhurried
            )
            try await cluster.ready(timeout: .seconds(120))
            let log = EventLog(of: cluster)
            let application = Application(on: cluster)
            do {
                for _ in 0..<10 {
                    try await application.work(writes: 20, reads: 5)
                    for node in servers.nodes {
                        // The monitor's session is among them.
                        let ended = try await node.query(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'"
                        )
                        #expect(!ended.isEmpty)
                    }
                    // Only now: an answer from before says nothing of the session that comes next.
                    let began = ContinuousClock.now
                    try await eventually("all hosts have answered again") {
                        cluster.snapshot().hosts.allSatisfy { $0.answeredAt.map { $0 > began } == true }
                    }
                }
                await application.stop()
            } catch {
                await application.stop()
                throw error
            }
            #expect(cluster.snapshot().hosts.map(\.state) == [.up, .up, .up])
            await cluster.close()
            let verdicts = await log.verdicts
            #expect(verdicts.isEmpty)
            #expect(application.ledger.failures.allSatisfy { $0.isTyped })
            let reckoning = try await application.reckon(with: servers.primary)
            #expect(reckoning.isClean)
            try await servers.primary.query("TRUNCATE ledger")
        }

        @Test func aPrimaryWithoutRoomForMoreSessionsIsNotThrownOut() async throws {
            try await LocalCluster.withCluster(.init(settings: ["max_connections": "20"])) { servers in
                let cluster = try PostgresCluster(servers.dsn(), configuration: .unhurried)
                try await cluster.ready(timeout: .seconds(120))
                _ = try await cluster.write { try await $0.query("SELECT 1") }
                let log = EventLog(of: cluster)
                let squatters = try await Self.takeAllSessions(of: servers.primary)

                for _ in 0..<50 { _ = try await cluster.write { try await $0.query("SELECT 1") } }
                let lease = try await cluster.acquire()
                let error = await #expect(throws: ClusterError.self) {
                    try await cluster.write(timeout: .seconds(3)) { _ in }
                }
                #expect(error?.code == .acquireTimedOut)
                #expect(error?.hosts.map(\.state) == [.up])
                let cause = cluster.snapshot().hosts[0].pool.lastConnectError as? DatabaseError
                #expect(cause?.sqlState == .tooManyConnections)
                try lease.release()
                _ = try await cluster.write { try await $0.query("SELECT 1") }

                for squatter in squatters { squatter.close() }
                let one = try await cluster.acquire(timeout: .seconds(120))
                let two = try await cluster.acquire(timeout: .seconds(120))
                try one.release()
                try two.release()
                await cluster.close()
                let verdicts = await log.verdicts
                #expect(verdicts.isEmpty)
            }
        }

        @Test func aPrimaryWithoutRoomForItsMonitorGoesOnServing() async throws {
            try await LocalCluster.withCluster(.init(setUp: ["CREATE ROLE app LOGIN"])) { servers in
                let cluster = try PostgresCluster(servers.dsn(user: "app"))
                try await cluster.ready(timeout: .seconds(120))
                _ = try await cluster.write { try await $0.query("SELECT 'the pool'") }
                try await servers.primary.query("ALTER ROLE app CONNECTION LIMIT 1")
                try await servers.primary.query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE usename = 'app' AND query LIKE '%pg_is_in_recovery%'
                    """
                )
                try await eventually("the monitor finds no room") { cluster.snapshot().hosts[0].state == .busy }
                #expect(cluster.snapshot().primary == servers.primary.address)
                for _ in 0..<50 { _ = try await cluster.write { try await $0.query("SELECT 'the pool'") } }
                try await servers.primary.query("ALTER ROLE app CONNECTION LIMIT -1")
                try await eventually("the monitor finds room again") { cluster.snapshot().hosts[0].state == .up }
                await cluster.close()
            }
        }

        private static func takeAllSessions(of node: LocalNode) async throws -> [DatabaseConnection] {
            let parameters = try ConnectionParameters(node.dsn())
            var taken: [DatabaseConnection] = []
            while true {
                do {
                    taken.append(
                        try await DatabaseConnection.connect(
                            to: parameters.hosts[0],
                            parameters: parameters,
                            loop: try EventLoopGroup.shared.next(),
                            deadline: .now + .seconds(60)
                        )
                    )
                } catch let error as DatabaseError where error.sqlState == .tooManyConnections {
                    return taken
                }
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Systems that are slow, overloaded or behind, and healthy: no host may be thrown out.
    @Suite struct HealthyTests {
        /// What may befall a system that is well.
        private func withoutVerdict(
            over hosts: [LocalNode],
            dsn: String,
            _ body: (PostgresCluster, Application) async throws -> Void
        ) async throws {
            // Whoever is slow is to be waited for, not to be given up.
            let configuration = ClusterConfiguration(acquireTimeout: .seconds(30))
            let cluster = try PostgresCluster(dsn, configuration: configuration)
            try await cluster.ready(timeout: .seconds(30))
            let application = Application(on: cluster, writers: 4, readers: 4)
            let log: EventLog
            do {
                try await application.work()
                log = EventLog(of: cluster)
                try await body(cluster, application)
                try await application.work()
                await application.stop()
            } catch {
                await application.stop()
                throw error
            }
            #expect(application.ledger.failures.isEmpty && application.reads.failures.isEmpty)
            #expect(try await application.reckon(with: hosts[0]).isClean)
            await cluster.close()
            let verdicts = await log.verdicts
            #expect(verdicts.isEmpty, "\(verdicts)")
        }

        private func withServers(
            _ body: (LocalCluster, PostgresCluster, Application) async throws -> Void
        ) async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                try await withoutVerdict(over: servers.nodes, dsn: servers.dsn()) { cluster, application in
                    try await body(servers, cluster, application)
                }
            }
        }

        @Test func serversWithoutProcessorTimeLoseNoHost() async throws {
            try await withServers { servers, _, application in
                let seconds = 5
                await withTaskGroup { group in
                    for node in servers.nodes {
                        for _ in 0..<3 {
                            group.addTask {
                                // It ends with an error, when its time is over.
                                _ = try? await node.query(
                                    """
                                    SET statement_timeout = '\(seconds)s';
                                    SELECT count(*) FROM generate_series(1, 1000000000)
                                    """,
                                    within: .seconds(seconds + 20)
                                )
                            }
                        }
                    }
                }
                try await application.work()
            }
        }

        @Test func aSlowNetworkLosesNoHost() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let proxies = try servers.nodes.map { try FaultProxy(to: $0) }
                let hosts = proxies.map { "127.0.0.1:\($0.port)" }.joined(separator: ",")
                let dsn = "postgresql://postgres@\(hosts)/postgres"
                try await withoutVerdict(over: servers.nodes, dsn: dsn) { _, application in
                    for proxy in proxies { try await proxy.apply(.delay(.milliseconds(150))) }
                    try await application.work(writes: 40, reads: 40)
                    for proxy in proxies { try await proxy.heal() }
                }
                for proxy in proxies { await proxy.close() }
            }
        }

        @Test func aServerProcessThatIsStoppedHoldsUpItsOwnStatementOnly() async throws {
            try await withServers { _, cluster, application in
                let lease = try await cluster.acquire()
                let session = lease.session
                let process = session.backendPID
                kill(process, SIGSTOP)
                let waiting = Task { try await session.queryValue("SELECT 1", as: Int.self) }
                // Longer than it takes to find a frozen server.
                let end = ContinuousClock.now + .seconds(3)
                while ContinuousClock.now < end { try await application.work() }
                kill(process, SIGCONT)
                #expect(try await waiting.value == 1)
                try lease.release()
            }
        }

        @Test func aMonitorsServerProcessThatIsStoppedLosesNoHost() async throws {
            try await withServers { servers, _, application in
                var stopped: [Int32] = []
                for node in servers.nodes {
                    let rows = try await node.query(
                        """
                        SELECT pid FROM pg_stat_activity
                        WHERE query LIKE '%pg_is_in_recovery%' AND application_name <> 'posthouse-testkit'
                        """
                    )
                    stopped += rows.compactMap { $0[0].flatMap { Int32($0) } }
                }
                #expect(stopped.count >= servers.nodes.count)
                for process in stopped { kill(process, SIGSTOP) }
                let end = ContinuousClock.now + .seconds(4)
                while ContinuousClock.now < end { try await application.work() }
                for process in stopped { kill(process, SIGCONT) }
            }
        }

        /// Ways in which a replica falls behind.
        enum Lag: CaseIterable, Sendable {
            case pausedReplay
            case delayedReplay

            func begin(on node: LocalNode) async throws {
                switch self {
                case .pausedReplay: try await node.query("SELECT pg_wal_replay_pause()")
                case .delayedReplay:
                    try await node.query("ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
                    try await node.reload()
                }
            }

            func end(on node: LocalNode) async throws {
                switch self {
                case .pausedReplay: try await node.query("SELECT pg_wal_replay_resume()")
                case .delayedReplay:
                    try await node.query("ALTER SYSTEM RESET recovery_min_apply_delay")
                    try await node.reload()
                }
            }
        }

        @Test(arguments: Lag.allCases)
        func aReplicaThatFallsBehindIsSeenToAndServesOn(_ lag: Lag) async throws {
            try await withServers { servers, cluster, application in
                let node = servers.nodes[1]
                try await lag.begin(on: node)
                try await eventually("it is seen to be behind") {
                    try await application.work()
                    return cluster.snapshot().hosts[1].lag?.bytes ?? 0 > 1_000_000
                }
                try await eventually("it serves reads") { try await cluster.read { $0.host } == node.address }
                try await lag.end(on: node)
                try await servers.waitUntilCaughtUp()
                try await eventually("it is seen to have caught up") {
                    cluster.snapshot().hosts[1].lag?.bytes ?? .max < 500_000
                }
            }
        }
    }
}

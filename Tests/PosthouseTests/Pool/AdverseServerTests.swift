// SPDX-License-Identifier: Apache-2.0

import Foundation
import PosthouseReactor
import PosthouseTestKit
import Synchronization
import Testing

@testable import Posthouse

extension RealServers {
    /// Pools whose server takes connections away from them, or has no room for them.
    @Suite struct AdverseServerTests {
        private static let server = Task {
            try await LocalCluster.start(
                .init(
                    // A server looks whether its client is gone only if it is told to, as long as a statement runs.
                    settings: ["max_connections": "24", "client_connection_check_interval": "10ms"],
                    setUp: ["CREATE ROLE app LOGIN", "CREATE ROLE app_cluster LOGIN"]
                )
            )
        }

        private static func node() async throws -> LocalNode { try await server.value.primary }

        /// For tests that count sessions: where many others run, the server takes its time to end one.
        private static func waitingLongForSessionsToEnd<Result>(
            _ body: () async throws -> Result
        ) async throws -> Result {
            let before = SessionGate.patience
            SessionGate.patience = .seconds(10)
            defer { SessionGate.patience = before }
            return try await body()
        }

        private static func pool(
            _ configuration: PoolConfiguration,
            queue: PoolGroupConfiguration? = nil
        ) async throws -> DatabasePool {
            try DatabasePool(await node().dsn(user: "app"), configuration: configuration, queue: queue)
        }

        private static func connect() async throws -> DatabaseConnection {
            let parameters = try ConnectionParameters(await node().dsn(user: "app"))
            return try await DatabaseConnection.connect(
                to: parameters.hosts[0],
                parameters: parameters,
                loop: try EventLoopGroup.shared.next(),
                deadline: .now + .seconds(60)
            )
        }

        @Test func backendsTerminatedAtRandomCostNoPlaceAndEveryErrorIsTyped() async throws {
            let node = try await Self.node()
            let pool = try await Self.pool(PoolConfiguration(maximumSize: 4))
            let callers = Callers(8) { round in
                if round.isMultiple(of: 3) {
                    try await pool.withConnection { db in
                        try await db.withTransaction { tx in _ = try await tx.execute("SELECT pg_sleep(0.001)") }
                    }
                } else {
                    try await pool.execute("SELECT pg_sleep(0.001)")
                }
            }
            for _ in 0..<30 {
                try await callers.serve(5)
                try await node.query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'
                    ORDER BY random() LIMIT 1
                    """
                )
            }
            await callers.stop()
            #expect(callers.untyped == [])
            #expect(callers.failed > 0)
            try await pool.servesAtOnce(4)
            #expect(pool.status().size == 4)
            await pool.close()
        }

        @Test func aFrozenBackendHoldsUpItsOwnUserOnly() async throws {
            let pool = try await Self.pool(PoolConfiguration(maximumSize: 3))
            let frozen = try await pool.withConnection { db in
                let frozen = db.backendPID
                kill(frozen, SIGSTOP)
                let error = await #expect(throws: DatabaseError.self) {
                    async let stuck = db.query("SELECT 1", timeout: .milliseconds(500))
                    for _ in 0..<50 { try await pool.execute("SELECT 1") }
                    return try await stuck
                }
                #expect(error?.code == .timedOut)
                return frozen
            }
            try await pool.servesAtOnce(3)
            kill(frozen, SIGCONT)
            await pool.close()
        }

        @Test func aServerWithoutRoomIsExplainedAndServesAgainWhenItHasSome() async throws {
            let impatient = try await Self.pool(PoolConfiguration(maximumSize: 5))
            let patient = try await Self.pool(
                PoolConfiguration(maximumSize: 5),
                queue: PoolGroupConfiguration(connectFailurePolicy: .keepWaiting)
            )
            try await patient.servesAtOnce(2)
            var squatters: [DatabaseConnection] = []
            while true {
                do {
                    squatters.append(try await Self.connect())
                } catch let error as DatabaseError {
                    #expect(error.sqlState == .tooManyConnections)
                    break
                }
            }
            let error = await #expect(throws: PoolError.self) { try await impatient.execute("SELECT 1") }
            #expect(error?.code == .connectFailed)
            #expect((error?.underlying as? DatabaseError)?.sqlState == .tooManyConnections)
            #expect(error?.description.contains("53300") == true)
            // The two that it has serve all.
            let callers = Callers(10) { _ in try await patient.execute("SELECT 1") }
            try await callers.serve(100)
            await callers.stop()
            #expect(callers.failed == 0)
            #expect(patient.status().size == 2)

            for squatter in squatters { squatter.close() }
            try await eventually("there is room") { (try? await impatient.execute("SELECT 1")) != nil }
            try await patient.servesAtOnce(5)
            await impatient.close()
            await patient.close()
        }

        @Test func theServerNeverSeesMoreSessionsThanTheHardLimit() async throws {
            try await Self.waitingLongForSessionsToEnd {
                let node = try await Self.node()
                let pool = try await Self.pool(PoolConfiguration(maximumSize: 2, burstLimit: 4))
                let census = try await SessionCensus(of: "usename = 'app'", on: node)
                let callers = Callers(8) { round in
                    switch round % 5 {
                    case 0:
                        let task = Task { try await pool.execute("SELECT pg_sleep(0.005)") }
                        try await Task.sleep(for: .milliseconds(round % 7))
                        task.cancel()
                        _ = try await task.value
                    case 1: try await pool.execute("SELECT pg_sleep(0.005)", timeout: .milliseconds(2))
                    case 2: pool.expire()
                    default: try await pool.execute("SELECT 1")
                    }
                }
                try await callers.serve(400)
                await callers.stop()
                try await pool.servesAtOnce(4)
                let most = try await census.end()
                #expect(most <= 4)
                #expect(callers.untyped == [])
                await pool.close()
            }
        }

        @Test func aRestartedServerIsServedAgainByAFewConnectsAtATime() async throws {
            let node = try await Self.node()
            let connecting = Mutex((now: 0, most: 0))
            let pool = try DatabasePool(
                configuration: PoolConfiguration(
                    maximumSize: 8,
                    backoffBase: .milliseconds(20),
                    backoffCap: .milliseconds(100),
                    maximumConcurrentConnects: 2
                ),
                queue: PoolGroupConfiguration(acquireTimeout: .seconds(120), connectFailurePolicy: .keepWaiting)
            ) {
                connecting.withLock { connecting in
                    connecting.now += 1
                    connecting.most = max(connecting.most, connecting.now)
                }
                defer { connecting.withLock { $0.now -= 1 } }
                return try await Self.connect()
            }
            let callers = Callers(16) { _ in try await pool.execute("SELECT pg_sleep(0.001)") }
            try await callers.serve(50)
            for mode in [LocalNode.StopMode.fast, .immediate] {
                try await node.stop(mode)
                try await eventually("all connections are gone") { pool.status().size == 0 }
                try await node.start()
                try await callers.serve(50)
            }
            await callers.stop()
            #expect(callers.untyped == [])
            #expect(connecting.withLock { $0.most } <= 2)
            try await pool.servesAtOnce(8)
            await pool.close()
        }

        @Test func aServerThatAllowsNotOneMoreNeverHasToRefuse() async throws {
            try await Self.waitingLongForSessionsToEnd {
                let node = try await Self.node()
                try await node.query("ALTER ROLE app CONNECTION LIMIT 3")
                let pool = try await Self.pool(PoolConfiguration(maximumSize: 3, acquireTimeout: .seconds(120)))
                let callers = Callers(6) { round in
                    if round.isMultiple(of: 4) { pool.expire() }
                    if round.isMultiple(of: 3) {
                        try await pool.withConnection { db in
                            await #expect(throws: DatabaseError.self) {
                                try await db.execute("COPY (SELECT 1) TO STDOUT")
                            }
                        }
                    } else {
                        try await pool.execute("SELECT 1")
                    }
                }
                try await callers.serve(300)
                await callers.stop()
                #expect(callers.failed == 0)
                await pool.close()
                try await node.query("ALTER ROLE app CONNECTION LIMIT -1")
            }
        }

        @Test func poolsAndAClusterTogetherStayWithinTheirBudget() async throws {
            try await Self.waitingLongForSessionsToEnd {
                let node = try await Self.node()
                let budget = try ConnectionBudget(limit: 5)
                let cluster = try PostgresCluster(
                    node.dsn(user: "app_cluster"),
                    configuration: ClusterConfiguration(acquireTimeout: .seconds(120), budget: budget)
                )
                try await cluster.ready(timeout: .seconds(120))
                let queue = PoolGroupConfiguration(acquireTimeout: .seconds(120), budget: budget)
                let first = try await Self.pool(PoolConfiguration(maximumSize: 5), queue: queue)
                let second = try await Self.pool(PoolConfiguration(maximumSize: 5), queue: queue)
                // One session is the monitor's.
                let census = try await SessionCensus(of: "usename IN ('app', 'app_cluster')", on: node)
                let callers = Callers(9) { round in
                    switch round % 3 {
                    case 0: try await first.execute("SELECT pg_sleep(0.001)")
                    case 1: try await second.execute("SELECT pg_sleep(0.001)")
                    default: try await cluster.write { db in _ = try await db.execute("SELECT pg_sleep(0.001)") }
                    }
                }
                try await callers.serve(600)
                await callers.stop()
                #expect(callers.failed == 0)
                // Each can have all of it.
                try await first.servesAtOnce(5)
                try await second.servesAtOnce(5)
                #expect(budget.used <= 5)
                let most = try await census.end()
                #expect(most <= 5 + 1)
                await first.close()
                await second.close()
                await cluster.close()
                #expect(budget.used == 0)
            }
        }

        @Test func anHeirOpensItsMinimumWithoutBeingAsked() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1)) { servers in
                let cluster = try PostgresCluster(
                    servers.dsn(),
                    configuration: ClusterConfiguration(pool: PoolConfiguration(maximumSize: 4, minimumSize: 2))
                )
                try await cluster.ready(timeout: .seconds(120))
                try await eventually("each host has its minimum") {
                    cluster.snapshot().hosts.allSatisfy { $0.pool.size == 2 }
                }
                try await servers.primary.kill()
                try await servers.failOver(to: servers.nodes[1])
                try await eventually("the heir has its minimum") {
                    cluster.snapshot().primaries.first.map { $0.host == servers.nodes[1].address && $0.pool.size == 2 }
                        == true
                }
                // As it was; it becomes a replica of the heir.
                try await servers.nodes[0].rejoin(following: servers.nodes[1])
                try await eventually("a host that comes back gets its minimum") {
                    cluster.snapshot().replicas.first.map { $0.pool.size == 2 } == true
                }
                await cluster.close()
            }
        }
    }
}

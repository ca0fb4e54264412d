// SPDX-License-Identifier: Apache-2.0

import Logging
import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Connections that died in silence, and leases that last.
    @Suite struct ValidationTests {
        private static func pool(
            _ proxy: FaultProxy,
            _ configuration: PoolConfiguration,
            recycling: RecyclingMethod = .fast
        ) throws -> DatabasePool {
            var configuration = configuration
            configuration.workTimeout = .seconds(2)
            return try DatabasePool(proxy.dsn(), configuration: configuration, recycling: recycling)
        }

        @Test func aConnectionThatDiedInSilenceIsReplacedBeforeItsUserNotices() async throws {
            let proxy = try FaultProxy(to: try await SharedServers.get().primary)
            let always = PoolConfiguration(maximumSize: 2, validation: .always)
            let ifIdle = PoolConfiguration(maximumSize: 2, validation: .ifIdle(longerThan: .milliseconds(20)))
            for pool in [
                try Self.pool(proxy, PoolConfiguration(maximumSize: 2), recycling: .verified),
                try Self.pool(proxy, always),
                try Self.pool(proxy, ifIdle),
            ] {
                let first = try await pool.withConnection { $0.backendPID }
                try await proxy.apply(.blackHole(), to: .existing)
                // The housekeeper notes that it has been idle.
                try await Task.sleep(for: .milliseconds(500))
                let second = try await pool.withConnection { db in
                    let one: Int = try await db.queryValue("SELECT 1", timeout: .seconds(60))
                    #expect(one == 1)
                    return db.backendPID
                }
                #expect(second != first)
                await pool.close()
                try await proxy.heal()
            }
            await proxy.close()
        }

        @Test func aClustersConnectionThatDiedInSilenceIsReplacedBeforeItsUserNotices() async throws {
            let proxy = try FaultProxy(to: try await SharedServers.get().primary)
            let cluster = try PostgresCluster(
                proxy.dsn(),
                configuration: ClusterConfiguration(
                    pool: PoolConfiguration(maximumSize: 1, workTimeout: .seconds(2))
                ),
                recycling: .verified
            )
            let first = try await cluster.write { $0.backendPID }
            try await proxy.apply(.blackHole(), to: .existing)
            let second = try await cluster.write(timeout: .seconds(120)) { db in
                try await db.execute("SELECT 1", timeout: .seconds(60))
                return db.backendPID
            }
            #expect(second != first)
            await cluster.close()
            await proxy.close()
        }

        @Test func aRequestsDeadlineEndsItsValidation() async throws {
            let proxy = try FaultProxy(to: try await SharedServers.get().primary)
            let pool = try DatabasePool(
                proxy.dsn(),
                configuration: PoolConfiguration(maximumSize: 1, workTimeout: .seconds(600)),
                recycling: .verified
            )
            try await pool.withConnection { _ in }
            try await proxy.apply(.blackHole())
            let error = await #expect(throws: PoolError.self) {
                try await pool.withConnection(deadline: .now + .milliseconds(100)) { _ in }
            }
            #expect(error?.code == .timedOut)
            // The validation goes on, and the connection comes back when it ends well.
            try await proxy.heal()
            try await pool.execute("SELECT 1")
            await pool.close()
            await proxy.close()
        }

        @Test func keepAliveEvictsConnectionsThatDiedInSilence() async throws {
            let proxy = try FaultProxy(to: try await SharedServers.get().primary)
            let pool = try Self.pool(
                proxy,
                PoolConfiguration(maximumSize: 2, keepAliveInterval: .milliseconds(100))
            )
            let one = try await pool.acquire()
            let two = try await pool.acquire()
            try one.release()
            try two.release()
            try await eventually("both are open") { pool.status().size == 2 }
            try await proxy.apply(.blackHole(), to: .existing)
            try await eventually("nobody asked, and they are gone") { pool.status().size == 0 }
            try await pool.execute("SELECT 1")
            await pool.close()
            await proxy.close()
        }

        @Test func aLeakIsLoggedWithTheLineThatLeasedTheConnection() async throws {
            let recorder = LogRecorder()
            let node = try await SharedServers.get().primary
            let configuration = PoolConfiguration(maximumSize: 1, leakDetectionThreshold: .milliseconds(50))
            let pool = try DatabasePool(node.dsn(), configuration: configuration, logger: recorder.logger(.info))
            let cluster = try PostgresCluster(
                node.dsn(),
                configuration: ClusterConfiguration(pool: configuration),
                logger: recorder.logger(.info)
            )
            let message = "warning a connection has been leased for very long"
            let here = #line + 1
            try await pool.withConnection { _ in
                try await eventually("it is logged") { recorder.messages.contains(message) }
            }
            #expect(
                recorder.metadata(of: message)?["posthouse.site"]?.description
                    == "PosthouseTests/ValidationTests.swift:\(here)"
            )
            try await eventually("its end is logged") {
                recorder.messages.contains("warning a connection that was leased for very long came back")
            }
            let there = #line + 1
            try await cluster.write { _ in
                try await eventually("it is logged") { recorder.messages.count { $0 == message } == 2 }
                let error = await #expect(throws: ClusterError.self) {
                    try await cluster.write(timeout: .milliseconds(20)) { _ in }
                }
                #expect(error?.pool?.longestLeases.first?.site.description.hasSuffix("Tests.swift:\(there)") == true)
            }
            await pool.close()
            await cluster.close()
        }

        @Test func aTimeoutNamesTheLinesThatHoldTheConnections() async throws {
            let node = try await SharedServers.get().primary
            let pool = try DatabasePool(node.dsn(), configuration: PoolConfiguration(maximumSize: 2))
            let leaseLine = #line + 1
            let lease = try await pool.acquire()
            let scopeLine = #line + 1
            try await pool.withConnection { _ in
                let error = await #expect(throws: PoolError.self) {
                    try await pool.withConnection(deadline: .now + .milliseconds(20)) { _ in }
                }
                let lines = error.map { $0.longestLeases.map(\.site.description) } ?? []
                #expect(Set(lines) == Set([leaseLine, scopeLine].map { "PosthouseTests/ValidationTests.swift:\($0)" }))
                #expect(error?.description.contains("ValidationTests.swift:\(leaseLine)") == true)
            }
            try lease.release()
            await pool.close()
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    @Suite struct EndTests {
        private static let name = "ending"

        private func cluster(_ loops: OwnLoops, _ servers: LocalCluster) throws -> PostgresCluster {
            try loops.cluster(servers.dsn(parameters: ["application_name": Self.name]))
        }

        @Test func closingLetsRunningWorkFinishAndRefusesNewWork() async throws {
            let servers = try await SharedServers.get()
            try await OwnLoops.lent { loops in
                let cluster = try cluster(loops, servers)
                try await cluster.ready(timeout: .seconds(120))
                let application = Application(on: cluster, stopsWhenClosed: true)
                try await application.work()
                let (started, start) = AsyncStream.makeStream(of: Void.self)
                let running = Task {
                    try await cluster.write { db in
                        start.finish()
                        return try await db.queryValue("SELECT 'done' FROM pg_sleep(0.5)", as: String.self)
                    }
                }
                for await _ in started {}
                #expect(await cluster.close() == 0)
                #expect(try await running.value == "done")
                await application.stop()
                #expect(application.ledger.failures.map(\.label).allSatisfy { $0 == "closed" })
                #expect(application.reads.failures.map(\.label).allSatisfy { $0 == "closed" })
                let error = await #expect(throws: ClusterError.self) { try await cluster.write { _ in } }
                #expect(error?.code == .closed)
                #expect(cluster.snapshot().hosts.allSatisfy { $0.pool.size == 0 })
                let reckoning = try await application.reckon(with: servers.primary)
                #expect(reckoning.isClean)
                try await servers.primary.query("TRUNCATE ledger")
            }
            try await nothingIsLeft(on: servers)
        }

        @Test func aCloseThatMayNotWaitInterruptsWhatIsLeft() async throws {
            let servers = try await SharedServers.get()
            try await OwnLoops.lent { loops in
                let cluster = try cluster(loops, servers)
                let (started, start) = AsyncStream.makeStream(of: Void.self)
                let running = Task {
                    try await cluster.write { db in
                        start.finish()
                        _ = try await db.query("SELECT pg_sleep(600)")
                    }
                }
                for await _ in started {}
                #expect(await cluster.close(timeout: .milliseconds(100)) == 1)
                let error = await #expect(throws: DatabaseError.self) { try await running.value }
                #expect(error?.code == .terminated)
            }
            try await endSleepers(on: servers)
            try await nothingIsLeft(on: servers)
        }

        @Test func terminatingEndsRunningStatementsAndThoseWhoWait() async throws {
            let servers = try await SharedServers.get()
            try await OwnLoops.lent { loops in
                var configuration = ClusterConfiguration()
                configuration.pool.maximumSize = 8
                let parameters = ["application_name": Self.name]
                let cluster = try loops.cluster(servers.dsn(parameters: parameters), configuration: configuration)
                try await cluster.ready(timeout: .seconds(120))
                let sleeping = (0..<8).map { _ in
                    Task { try await cluster.write { try await $0.query("SELECT pg_sleep(600)") } }
                }
                try await eventually("all connections are in use") {
                    try await servers.primary.value(
                        of: "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"
                    ) == "8"
                }
                let waiting = Task { try await cluster.write(timeout: .seconds(600)) { _ in } }
                try await eventually("somebody waits") { cluster.snapshot().waiting == 1 }
                cluster.terminate()
                for task in sleeping {
                    let error = await #expect(throws: DatabaseError.self) { try await task.value }
                    #expect(error?.code == .terminated)
                    #expect(error?.outcome == .mayHaveRun)
                }
                let error = await #expect(throws: ClusterError.self) { try await waiting.value }
                #expect(error?.code == .closed)
            }
            try await endSleepers(on: servers)
            try await nothingIsLeft(on: servers)
        }

        @Test func terminatingUnderTrafficFailsWithTypedErrorsOnly() async throws {
            let servers = try await SharedServers.get()
            try await OwnLoops.lent { loops in
                let cluster = try cluster(loops, servers)
                try await cluster.ready(timeout: .seconds(120))
                let application = Application(on: cluster, stopsWhenClosed: true)
                try await application.work()
                cluster.terminate()
                await application.stop()
                #expect((application.ledger.failures + application.reads.failures).allSatisfy { $0.isTyped })
                let reckoning = try await application.reckon(with: servers.primary)
                #expect(reckoning.isClean)
                try await servers.primary.query("TRUNCATE ledger")
            }
            try await nothingIsLeft(on: servers)
        }

        @Test func aDroppedClusterEndsByItself() async throws {
            let servers = try await SharedServers.get()
            try await OwnLoops.lent { loops in
                do {
                    let dropped = try cluster(loops, servers)
                    try await dropped.ready()
                    _ = try await dropped.read { try await $0.query("SELECT 1") }
                }
                try await loops.waitUntilEmpty()
            }
            try await nothingIsLeft(on: servers)
        }

        /// A server notices that its client is gone only when it writes: the statements themselves go on until then.
        private func endSleepers(on servers: LocalCluster) async throws {
            try await servers.primary.query(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = '\(Self.name)' AND query LIKE '%pg_sleep(600)%'
                """
            )
        }

        /// Neither here nor there.
        private func nothingIsLeft(on servers: LocalCluster) async throws {
            for node in servers.nodes {
                try await eventually("\(node.name) has no session of ours left") {
                    try await node.value(
                        of: "SELECT count(*) FROM pg_stat_activity WHERE application_name = '\(Self.name)'"
                    ) == "0"
                }
            }
        }
    }
}

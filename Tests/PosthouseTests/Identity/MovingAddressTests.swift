// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Addresses whose server changes: virtual addresses, services, load balancers.
    @Suite struct MovingAddressTests {
        @Test func whenAnAddressMovesWithoutAWordTheNewServerIsUsedAndTheOldOneLeft() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1)) { servers in
                let (old, heir) = (servers.nodes[0], servers.nodes[1])
                let proxy = try FaultProxy(to: old)
                let cluster = try PostgresCluster(proxy.dsn())
                let lease = try await cluster.acquire()
                let session = lease.session
                #expect(try await session.port == old.port)
                // The old primary lives on, and so do the connections to it.
                try await heir.promote()
                try await proxy.retarget(to: heir)
                // Another connection is needed: it is the first to reach the new server.
                try await eventually("writes go to the new server") {
                    try await cluster.write(timeout: .seconds(120)) { try await $0.port } == heir.port
                }
                let error = await #expect(throws: DatabaseError.self) { try await session.port }
                #expect(error?.code == .fenced)
                #expect(error?.outcome == .notSent)
                try? lease.release()
                for _ in 0..<50 { #expect(try await cluster.write { try await $0.port } == heir.port) }
                #expect(cluster.snapshot().timeline == 2)
                await cluster.close()
                await proxy.close()
            }
        }

        @Test func aStatementToAServerThatIsGoneEndsWhenTheServerIsBack() async throws {
            try await LocalCluster.withCluster { servers in
                let node = servers.primary
                let proxy = try FaultProxy(to: node)
                let cluster = try PostgresCluster(proxy.dsn())
                let (started, start) = AsyncStream.makeStream(of: Void.self)
                let waiting = Task {
                    try await cluster.write { db in
                        start.finish()
                        _ = try await db.query("SELECT pg_sleep(600)")
                    }
                }
                for await _ in started {}
                // As when the power fails: nobody says goodbye, and the machine comes back.
                try await proxy.apply(.blackHole(), to: .existing)
                try await node.kill()
                try await node.start()
                let error = await #expect(throws: DatabaseError.self) { try await waiting.value }
                #expect(error?.outcome == .mayHaveRun)
                #expect(try await cluster.write { try await $0.port } == node.port)
                await cluster.close()
                await proxy.close()
            }
        }
    }
}

extension DatabaseSession {
    /// Of the server that is really there.
    fileprivate var port: Int {
        get async throws { try await queryValue("SELECT inet_server_port()", as: Int.self) }
    }
}

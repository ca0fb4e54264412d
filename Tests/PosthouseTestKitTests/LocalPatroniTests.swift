// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseTestKit

extension LocalServers {
    /// Real Patroni, real etcd.
    @Suite(.timeLimit(.minutes(20)), .enabled(if: LocalPatroni.isInstalled, "needs Patroni and etcd"))
    struct LocalPatroniTests {
        @Test func patroniElectsSwitchesOverAndTakesBackAPrimaryThatWasKilled() async throws {
            let began = ContinuousClock.now
            let patroni = try await LocalPatroni.start(
                .init(lease: .seconds(20), setUp: ["CREATE TABLE horses (name text)"])
            )
            print("Patroni: up after \(began.duration(to: .now))")
            do {
                let (first, second) = (patroni.members[0], patroni.members[1])
                #expect(patroni.members.map(\.name) == ["node1", "node2", "node3"])
                #expect(try await patroni.leader() === first)
                #expect(try await second.request("/replica").status == 200)
                #expect(try await second.request("/primary").status == 503)
                #expect(try await second.node.value(of: "SELECT count(*) FROM horses") == "0")

                let switching = ContinuousClock.now
                #expect(try await patroni.switchover(to: second) === second)
                print("Patroni: switched over after \(switching.duration(to: .now))")
                try await second.node.query("INSERT INTO horses VALUES ('Rocinante')")
                try await patroni.waitUntilWhole()

                // What the old leader alone has written is rewound.
                try await second.killPatroni()
                let dying = ContinuousClock.now
                let third = try await patroni.waitForLeader(otherThan: second)
                print("Patroni: leader replaced after \(dying.duration(to: .now))")
                try await second.node.query("INSERT INTO horses VALUES ('Llamrei')")
                try await third.node.query("INSERT INTO horses VALUES ('Babieca')")
                try await second.kill()
                #expect(try await second.node.pids().isEmpty)
                try await second.start()
                try await patroni.waitUntilWhole()
                try await second.node.waitUntilCaughtUp(with: third.node)
                let rows = try await second.node.query("SELECT name FROM horses ORDER BY name")
                #expect(rows == [["Babieca"], ["Rocinante"]])
                #expect(second.node.logTail(lines: 500).contains("pg_rewind"))
            } catch {
                print(patroni.logs(lines: 60))
                try await patroni.shutdown()
                throw error
            }
            try await patroni.shutdown()
            #expect(!Files.exists(patroni.folder))
            let user = patroni.servers.layout.user
            #expect(try ProcessFolder(path: patroni.folder, user: user).list().isEmpty)
        }

        @Test func aPausedPatroniElectsNobodyAndAFailoverCanBeAskedFor() async throws {
            try await LocalPatroni.withCluster(.init(members: 2, synchronous: true, lease: .seconds(30))) { patroni in
                let (first, second) = (patroni.members[0], patroni.members[1])
                #expect(try await first.node.value(of: "SHOW synchronous_standby_names") != "")
                try await patroni.pause()
                try await first.node.kill()
                // Longer than a loop of Patroni's; what does not happen cannot be waited for.
                try await Task.sleep(for: .seconds(3))
                #expect(try await first.node.status().state == .down)
                #expect(second.node.role == .replica)
                try await patroni.failover(to: second)
                #expect(second.node.role == .primary)
                try await patroni.resume()
                #expect(try await patroni.leader() === second)
            }
        }
    }
}

extension LocalServers {
    @Suite(
        .timeLimit(.minutes(20)),
        .enabled(if: LocalPatroni.isInstalled && LocalHAProxy.isInstalled, "needs Patroni, etcd and HAProxy")
    )
    struct LocalHAProxyTests {
        @Test func itsPortsLeadToWhoeverHasTheRole() async throws {
            try await LocalPatroni.withCluster(.init(members: 2, lease: .seconds(30))) { patroni in
                let proxy = try await LocalHAProxy.start(in: patroni)
                let (first, second) = (patroni.members[0], patroni.members[1])
                #expect(await leads(proxy, to: first, and: second))
                try await patroni.switchover(to: second)
                #expect(await leads(proxy, to: second, and: first))
                try await proxy.kill()
                #expect(await server(behind: proxy.primaryPort) == nil)
                try await proxy.start()
                #expect(await leads(proxy, to: second, and: first))
            }
        }

        /// Waits for that: the proxy finds out by its checks.
        private func leads(_ proxy: LocalHAProxy, to primary: PatroniMember, and replica: PatroniMember) async -> Bool {
            let found = try? await waitUntilTrue {
                let ports = await [server(behind: proxy.primaryPort), server(behind: proxy.replicaPort)]
                return ports == [primary.node.port, replica.node.port]
            }
            return found == true
        }

        private func server(behind port: Int) async -> Int? {
            let rows = try? await offCooperativePool { () throws(LocalClusterError) in
                try QuerySession.run(
                    "SELECT inet_server_port()",
                    at: .port(port),
                    database: "postgres",
                    node: "haproxy",
                    deadline: .now + .seconds(10)
                )
            }
            return rows?.first?.first?.flatMap { Int($0) }
        }
    }
}

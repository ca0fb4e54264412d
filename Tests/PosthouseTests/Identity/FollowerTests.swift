// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseReactor
import PosthouseTestKit
import Testing

extension RealServers {
    /// Whom the replicas follow decides where timelines do not.
    @Suite struct FollowerTests {
        @Test func aReplicaTellsWhomItFollows() async throws {
            let setUp = ["CREATE ROLE app LOGIN", "CREATE ROLE monitor LOGIN IN ROLE pg_read_all_stats"]
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: setUp)) { servers in
                let (primary, heir, other) = (servers.nodes[0], servers.nodes[1], servers.nodes[2])
                let first = try await report(of: primary)
                #expect(first.upstream == nil)
                #expect(first.address == primary.address)
                #expect(try await report(of: heir).upstream == primary.address)
                #expect(try await report(of: heir, as: "monitor").upstream == primary.address)
                #expect(try await report(of: heir, as: "app").upstream == nil, "it may not know")
                #expect(try await report(of: heir, as: "app").address == heir.address)

                // A replica of a replica.
                try await other.follow(heir)
                try await other.waitUntilStreaming(from: heir)
                #expect(try await report(of: other).upstream == heir.address)
                // By another address.
                let proxy = try FaultProxy(to: primary)
                try await other.follow(port: proxy.port)
                try await other.waitUntilStreaming(from: primary)
                #expect(try await report(of: other).upstream == "127.0.0.1:\(proxy.port)")

                // Who follows nobody any more names nobody.
                try await primary.kill()
                try await eventually("nobody is followed") {
                    let reports = try await [report(of: heir), report(of: other)]
                    return reports.allSatisfy { $0.upstream == nil && $0.isInRecovery }
                }
                await proxy.close()
                try await heir.promote()
                let promoted = try await report(of: heir)
                #expect(promoted.upstream == nil)
                #expect(!promoted.isInRecovery && promoted.timeline == 2)
            }
        }

        /// What a process does that has just started.
        private func writeFirst(to nodes: [LocalNode], and other: String? = nil, expecting host: String) async throws {
            let hosts = (nodes.reversed().map(\.address) + [other].compactMap { $0 }).joined(separator: ",")
            var configuration = ClusterConfiguration()
            configuration.acquireTimeout = .seconds(60)
            // Whoever does not answer by then is not waited for.
            configuration.refreshTimeout = .seconds(30)
            let cluster = try PostgresCluster(
                "postgresql://postgres@\(hosts)/postgres",
                configuration: configuration
            )
            let written = try await cluster.write { db in
                try await db.execute("INSERT INTO ledger (id) VALUES (0)")
                return db.host
            }
            #expect(written == host)
            await cluster.close()
        }

        /// A backup that is restored and started beside its origin is a primary of the same system on the same timeline.
        @Test func ofTwoPrimariesOnOneTimelineTheOneThatTheReplicasFollowIsWrittenTo() async throws {
            let setUp = [Application.table, "CREATE ROLE app LOGIN", "GRANT ALL ON ledger TO app"]
            try await LocalCluster.withCluster(.init(replicas: 3, setUp: setUp)) { servers in
                let (primary, copy) = (servers.nodes[0], servers.nodes[3])
                let followers = [servers.nodes[1], servers.nodes[2]]
                let cluster = try PostgresCluster(servers.dsn())
                try await cluster.ready()
                let application = Application(on: cluster, writers: 4, readers: 2, rest: .milliseconds(5))
                do {
                    try await application.work()
                    try await copy.duplicate(primary)
                    let reports = try await [report(of: primary), report(of: copy)]
                    #expect(reports.allSatisfy { !$0.isInRecovery && $0.timeline == 1 })
                    #expect(reports[0].systemIdentifier == reports[1].systemIdentifier)
                    #expect(reports[0].systemIdentifier != nil)
                    let untouched = try await copy.value(of: "SELECT count(*) FROM ledger")
                    try await eventually("the copy is seen") {
                        cluster.snapshot().hosts[3].reason
                            == "second primary: \(primary.address) is the primary of this cluster"
                    }
                    #expect(cluster.snapshot().hosts[3].state == .quarantined)
                    // Processes that have just started know nothing, and the copy is the first that they are told of.
                    for _ in 0..<5 { try await writeFirst(to: servers.nodes, expecting: primary.address) }
                    // The primary answers later than the first election is due.
                    let proxy = try FaultProxy(to: primary)
                    try await proxy.apply(.delay(.milliseconds(200)))
                    for _ in 0..<2 {
                        try await writeFirst(
                            to: [copy] + followers,
                            and: "127.0.0.1:\(proxy.port)",
                            expecting: "127.0.0.1:\(proxy.port)"
                        )
                    }
                    await proxy.close()
                    let hosts = servers.nodes.reversed().map(\.address).joined(separator: ",")
                    // Nobody decides for one that is not told whom the replicas follow.
                    let blind = try PostgresCluster("postgresql://app@\(hosts)/postgres")
                    try await eventually("it has heard both") {
                        let rivals = blind.snapshot().hosts.filter { $0.role == .primary && $0.state == .quarantined }
                        return rivals.count == 2 && rivals.allSatisfy { $0.reason?.hasPrefix("ambiguous") == true }
                    }
                    let error = await #expect(throws: ClusterError.self) {
                        try await blind.write(timeout: .milliseconds(100)) { try await $0.execute("SELECT 1") }
                    }
                    #expect(error?.code == .noPrimary)
                    await blind.close()

                    try await application.work(writes: 200)
                    #expect(try await copy.value(of: "SELECT count(*) FROM ledger") == untouched)
                    #expect(cluster.snapshot().primary == primary.address)
                    #expect(application.ledger.failures.isEmpty)

                    // They are made to follow the copy: now it is the primary, and the other one is left.
                    for node in followers { try await node.rejoin(following: copy) }
                    try await application.ledgerGrows(on: copy)
                    let left = try await primary.value(of: "SELECT count(*) FROM ledger")
                    try await application.work(writes: 200)
                    await application.stop()
                    #expect(cluster.snapshot().primary == copy.address)
                    #expect(
                        cluster.snapshot().hosts[0].reason
                            == "second primary: \(copy.address) is the primary of this cluster"
                    )
                    #expect(try await primary.value(of: "SELECT count(*) FROM ledger") == left)
                } catch {
                    await application.stop()
                    throw error
                }
                // Each of them has what it was said to have.
                for node in [primary, copy] {
                    let reckoning = try await application.reckon(with: node, on: node.address)
                    print("\(node.name): \(reckoning)")
                    #expect(reckoning.isClean, "\(reckoning)")
                }
                #expect(application.ledger.failures.allSatisfy { $0.isTyped })
                await cluster.close()
            }
        }

        /// What a monitor is told by a server.
        /// Asked twice on one session: the second answer, without the control file, is as good as the first.
        private func report(of node: LocalNode, as user: String = "postgres") async throws -> HostReport {
            let parameters = try ConnectionParameters(node.dsn(user: user))
            let loops = try EventLoopGroup.shared
            let loop = loops.next()
            let driver = LibPQDriver(parameters: parameters, loops: loops, monitorLoop: loop)
            let deadline = ContinuousClock.now + .seconds(10)
            let connection = try await DatabaseConnection.connect(
                to: parameters.hosts[0],
                parameters: parameters,
                loop: loop,
                deadline: deadline
            )
            defer { connection.close() }
            let report = try await driver.probe(connection, deadline: deadline)
            let again = try await driver.probe(connection, knowing: report, deadline: deadline)
            #expect(again.isInRecovery == report.isInRecovery)
            #expect(again.systemIdentifier == report.systemIdentifier)
            #expect(again.timeline == report.timeline)
            #expect(again.incarnation == report.incarnation)
            #expect(again.address == report.address)
            return report
        }
    }
}

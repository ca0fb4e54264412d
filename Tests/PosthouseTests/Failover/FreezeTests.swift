// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    @Suite struct FreezeTests {
        @Test func writesLeaveAFrozenPrimaryForThePromotedOne() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn())
                let outcome = try await FreezeTrial(servers: servers, cluster: cluster).run()
                await cluster.close()
                print(outcome)
                #expect(outcome.untyped.isEmpty)
                #expect(!outcome.doubtful.isEmpty, "what sat in the socket of the frozen server may have run")
                #expect(outcome.sentAfterFence.isEmpty)
                #expect(outcome.duplicates.isEmpty)
                #expect(outcome.resumed < .seconds(5))
            }
        }

        /// `POSTHOUSE_TEST_FAILOVERS=20` freezes a primary so many times and prints the distribution: with readers, whose
        /// connections see the promotion, and without, when only silence tells.
        @Test(.enabled(if: freezesToMeasure > 0), .timeLimit(.minutes(30)), arguments: [2, 0])
        func theTimeUntilAFrozenPrimaryIsLeftIsMeasured(_ readers: Int) async throws {
            var resumed: [Duration] = []
            for _ in 0..<freezesToMeasure {
                try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                    let cluster = try PostgresCluster(servers.dsn())
                    let outcome = try await FreezeTrial(servers: servers, cluster: cluster, readers: readers).run()
                    await cluster.close()
                    print(outcome)
                    #expect(outcome.sentAfterFence.isEmpty && outcome.duplicates.isEmpty && outcome.untyped.isEmpty)
                    resumed.append(outcome.resumed)
                }
            }
            print(Distribution(of: "\(readers) readers: first write after the freeze, promoted at once", resumed))
        }

        /// Nobody writes or reads, so that nothing but the checks can tell. `POSTHOUSE_TEST_FAILOVERS=20` does it so many times
        /// and prints the distribution.
        @Test func whoWasIdleLeavesAFrozenPrimaryToo() async throws {
            var resumed: [Duration] = []
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: [Application.table])) { servers in
                for _ in 0..<max(1, freezesToMeasure) {
                    let (frozen, heir) = (servers.primary, servers.replicas[0])
                    let cluster = try PostgresCluster(servers.dsn())
                    try await cluster.ready()
                    // Its checks are not in step with the freeze.
                    try await Task.sleep(for: .milliseconds(Int.random(in: 500...1500)))
                    let began = ContinuousClock.now
                    try await frozen.pause()
                    try await heir.promote(waiting: false)
                    try await eventually("the successor is elected") { cluster.snapshot().primary == heir.address }
                    resumed.append(began.duration(to: .now))
                    try await cluster.write { try await $0.execute("INSERT INTO ledger VALUES (1)") }
                    await cluster.close()
                    try await servers.repoint(to: heir)
                    try await frozen.resume()
                    try await frozen.rejoin(following: heir)
                    try await frozen.waitUntilStreaming(from: heir)
                }
            }
            print(Distribution(of: "idle: successor elected after the freeze, promoted at once", resumed))
            #expect(resumed.allSatisfy { $0 < .seconds(20) })
        }

        /// As most failovers go: the freeze is known long before somebody is promoted.
        @Test func aTransactionOnAFrozenPrimaryCannotGoOnWhenItsSuccessorIsThere() async throws {
            try await LocalCluster.withCluster(.init(replicas: 1, setUp: [Application.table])) { servers in
                let (frozen, heir) = (servers.nodes[0], servers.nodes[1])
                let cluster = try PostgresCluster(servers.dsn())
                try await cluster.ready()
                let lease = try await cluster.acquire()
                try await lease.session.execute("BEGIN")
                try await lease.session.execute("INSERT INTO ledger VALUES (1)")
                try await frozen.pause()
                try await eventually("the freeze is seen") { cluster.snapshot().hosts[0].state == .frozen }
                try await heir.promote()
                try await eventually("the successor is elected") { cluster.snapshot().primary == heir.address }
                try await frozen.resume()
                for _ in 0..<2 {
                    let error = await #expect(throws: DatabaseError.self) { try await lease.session.execute("COMMIT") }
                    #expect(error?.code == .fenced)
                    #expect(error?.outcome == .notSent)
                }
                try? lease.release()
                try await eventually("its session is gone") {
                    try await frozen.value(of: "SELECT count(*) FROM pg_stat_activity WHERE xact_start < now()") == "0"
                }
                #expect(try await frozen.value(of: "SELECT count(*) FROM ledger") == "0")
                await cluster.close()
            }
        }

        @Test func aFreezeThatNobodyUsesHeals() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let configuration = ClusterConfiguration(acquireTimeout: .seconds(30))
                let cluster = try PostgresCluster(servers.dsn(), configuration: configuration)
                try await cluster.ready()
                let application = Application(on: cluster)
                do {
                    try await application.work()
                    try await servers.primary.pause()
                    try await eventually("the freeze is seen") { cluster.snapshot().hosts[0].state == .frozen }
                    #expect(cluster.snapshot().primary == nil)
                    try await servers.primary.resume()
                    try await application.work()
                    await application.stop()
                } catch {
                    await application.stop()
                    throw error
                }
                #expect(cluster.snapshot().primary == servers.primary.address)
                #expect(cluster.snapshot().hosts[0].state == .up)
                #expect(application.ledger.failures.isEmpty, "statements are patient; so were those that waited")
                #expect(try await application.reckon(with: servers.primary).isClean)
                await cluster.close()
            }
        }

        @Test func readsGoOnWhileAReplicaIsFrozen() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn())
                try await cluster.ready()
                let (frozen, other) = (servers.nodes[1], servers.nodes[2])
                let application = Application(on: cluster, writers: 2, readers: 4)
                do {
                    try await application.work()
                    try await frozen.pause()
                    try await application.work()
                    try await eventually("the freeze is seen") { cluster.snapshot().hosts[1].state == .frozen }
                    for _ in 0..<50 { #expect(try await cluster.read { $0.host } == other.address) }
                    try await frozen.resume()
                    try await eventually("it serves again") { try await cluster.read { $0.host } == frozen.address }
                    await application.stop()
                } catch {
                    await application.stop()
                    throw error
                }
                #expect(application.reads.failures.isEmpty)
                #expect(application.ledger.failures.isEmpty, "the primary is well")
                await cluster.close()
            }
        }
    }
}

private let freezesToMeasure = Int(ProcessInfo.processInfo.environment["POSTHOUSE_TEST_FAILOVERS"] ?? "") ?? 0

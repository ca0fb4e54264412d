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
                #expect(outcome.sentAfterThaw.isEmpty)
                #expect(outcome.duplicates.isEmpty)
                #expect(outcome.resumed < .seconds(5))
            }
        }

        /// `POSTHOUSE_TEST_FAILOVERS=20` freezes a primary so many times and prints the distribution.
        @Test(.enabled(if: freezesToMeasure > 0), .timeLimit(.minutes(30)))
        func theTimeUntilAFrozenPrimaryIsLeftIsMeasured() async throws {
            var resumed: [Duration] = []
            for _ in 0..<freezesToMeasure {
                try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                    let cluster = try PostgresCluster(servers.dsn())
                    let outcome = try await FreezeTrial(servers: servers, cluster: cluster).run()
                    await cluster.close()
                    print(outcome)
                    #expect(outcome.sentAfterThaw.isEmpty && outcome.duplicates.isEmpty && outcome.untyped.isEmpty)
                    resumed.append(outcome.resumed)
                }
            }
            print(Distribution(of: "first write after the freeze, promoted at once", resumed))
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

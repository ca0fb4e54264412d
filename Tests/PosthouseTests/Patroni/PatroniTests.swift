// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// Clusters that Patroni runs: it decides, the product follows.
    @Suite(.enabled(if: LocalPatroni.isInstalled, "needs Patroni and etcd"))
    struct PatroniTests {
        private static let configuration = LocalPatroni.Configuration(synchronous: true, setUp: [Application.table])

        /// The leader that is replaced is frozen, as a virtual machine that is paused, and comes back believing that it
        /// leads.
        @Test func anApplicationFollowsASwitchoverAndAFailover() async throws {
            try await LocalPatroni.withCluster(Self.configuration) { patroni in
                try await follow(
                    patroni,
                    PostgresCluster(patroni.dsn(), configuration: patience),
                    readers: 2,
                    losing: { try await $0.freeze() },
                    undoing: { try await $0.thaw() }
                )
            }
        }

        /// One address for whoever is the primary: the server behind it changes, and so does its timeline.
        @Test(.enabled(if: LocalHAProxy.isInstalled, "needs HAProxy"))
        func anApplicationFollowsASwitchoverAndAFailoverBehindOneAddress() async throws {
            try await LocalPatroni.withCluster(Self.configuration) { patroni in
                let proxy = try await LocalHAProxy.start(in: patroni)
                let reports = try PostgresCluster(proxy.replicaDSN(), configuration: patience)
                let readers = Callers(2) { _ in
                    _ = try await reports.read { try await $0.query("SELECT 1") }
                }
                let cluster = try PostgresCluster(proxy.primaryDSN(), configuration: patience)
                do {
                    try await follow(
                        patroni,
                        cluster,
                        readers: 0,
                        losing: { try await $0.kill() },
                        undoing: { try await $0.start() }
                    )
                    try await readers.serve(50)
                } catch {
                    await readers.stop()
                    throw error
                }
                await readers.stop()
                #expect(readers.untyped == [])
                await reports.close()
            }
        }

        /// Long enough for a lease to run out.
        private var patience: ClusterConfiguration { ClusterConfiguration(acquireTimeout: .seconds(30)) }

        private func follow(
            _ patroni: LocalPatroni,
            _ cluster: PostgresCluster,
            readers: Int,
            losing lose: (PatroniMember) async throws -> Void,
            undoing undo: (PatroniMember) async throws -> Void
        ) async throws {
            let application = Application(on: cluster, writers: 4, readers: readers)
            let reads = min(readers, 1) * 10
            var pauses: [(name: String, times: [Duration])] = [("switchover", []), ("failover", [])]
            do {
                try await application.work(reads: reads)
                for _ in 0..<max(1, failoversToMeasure) {
                    var began = ContinuousClock.now
                    let new = try await patroni.switchover()
                    try await application.work(writes: 200, reads: reads)
                    pauses[0].times.append(application.ledger.longestPause(since: began))
                    try await patroni.waitUntilWhole()

                    began = .now
                    try await lose(new)
                    let heir = try await patroni.waitForLeader(otherThan: new)
                    try await application.work(writes: 200, reads: reads)
                    pauses[1].times.append(application.ledger.longestPause(since: began))
                    #expect(try await heir.node.timeline() == Int(cluster.snapshot().timeline ?? 0))
                    try await undo(new)
                    try await patroni.waitUntilWhole()
                }
                try await application.work(reads: reads)
                await application.stop()
            } catch {
                await application.stop()
                throw error
            }
            let failures = application.ledger.failures + application.reads.failures
            let leader = try await patroni.leader().node
            let reckoning = try await application.reckon(with: leader)
            let way = readers > 0 ? "Patroni" : "Patroni behind HAProxy"
            for (name, times) in pauses { print(Distribution(of: "\(way), \(name): longest pause of writes", times)) }
            print("\(way): \(reckoning); errors: \(application.ledger.failuresByLabel)")
            #expect(reckoning.isClean, "\(reckoning)")
            #expect(failures.allSatisfy { $0.isTyped })
            await cluster.close()
        }
    }
}

private let failoversToMeasure = Int(ProcessInfo.processInfo.environment["POSTHOUSE_TEST_FAILOVERS"] ?? "") ?? 0

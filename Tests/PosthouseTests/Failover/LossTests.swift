// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    /// However a primary is lost: what was acknowledged is on its successor, once, and when it comes back nothing is sent
    /// to it.
    @Suite struct LossTests {
        @Test(arguments: Loss.ofServers)
        func writesMoveToTheNewPrimaryAndTheOldOneGetsNothingMore(_ loss: Loss) async throws {
            try await tryOut(loss, filter: nil)
        }

        @Test(.enabled("needs root and iptables") { await PacketFilter.isAvailable() }, arguments: Loss.ofPackets)
        func writesMoveToTheNewPrimaryWhenPacketsAreLost(_ loss: Loss) async throws {
            let filter = try await PacketFilter.install()
            do {
                try await tryOut(loss, filter: filter)
            } catch {
                await filter.remove()
                throw error
            }
            await filter.remove()
        }

        private func tryOut(_ loss: Loss, filter: PacketFilter?) async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn())
                let outcome = try await FailoverTrial(servers: servers, cluster: cluster, filter: filter).run(loss)
                await cluster.close()
                print(outcome)
                expectNothingWrong(in: outcome)
                #expect(outcome.gap < (loss.isSilent ? .seconds(5) : .seconds(2)))
            }
        }

        @Test(arguments: [LocalPgBouncer.Mode.session, .transaction])
        func writesMoveToTheNewPrimaryThroughPgBouncers(_ mode: LocalPgBouncer.Mode) async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                var ports: [String: Int] = [:]
                var bouncers: [LocalPgBouncer] = []
                for node in servers.nodes {
                    let bouncer = try await LocalPgBouncer.start(in: servers, to: node, mode: mode)
                    ports[node.name] = bouncer.port
                    bouncers.append(bouncer)
                }
                let hosts = bouncers.map { "127.0.0.1:\($0.port)" }.joined(separator: ",")
                let cluster = try PostgresCluster(
                    "postgresql://postgres@\(hosts)/postgres",
                    // A statement that is prepared in one transaction may be unknown in the next.
                    session: SessionOptions(statementCacheSize: 0)
                )
                let outcome = try await FailoverTrial(
                    servers: servers,
                    cluster: cluster,
                    address: { [ports] node in "127.0.0.1:\(ports[node.name] ?? 0)" }
                ).run(.kill)
                await cluster.close()
                print("PgBouncer, \(mode): \(outcome)")
                expectNothingWrong(in: outcome)
            }
        }

        /// `POSTHOUSE_TEST_FAILOVERS=20` loses a primary so many times in each way and prints the distribution: with
        /// readers, who keep connections to the heir warm, and without, when there are none.
        @Test(.enabled(if: failoversToMeasure > 0), .timeLimit(.minutes(60)), arguments: Loss.allCases, [2, 0])
        func theGapOfManyLossesIsMeasured(_ loss: Loss, _ readers: Int) async throws {
            let needsFilter = Loss.ofPackets.contains(loss)
            if needsFilter, await !PacketFilter.isAvailable() { return }
            let filter = needsFilter ? try await PacketFilter.install() : nil
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn())
                let trial = FailoverTrial(servers: servers, cluster: cluster, readers: readers, filter: filter)
                var (gaps, elections): ([Duration], [Duration]) = ([], [])
                for _ in 0..<failoversToMeasure {
                    let outcome = try await trial.run(loss)
                    print(outcome)
                    expectNothingWrong(in: outcome)
                    gaps.append(outcome.gap)
                    elections.append(outcome.election)
                    try await trial.restore()
                }
                await cluster.close()
                print(
                    Distribution(of: "\(loss), \(readers) readers: new primary known after it could write", elections)
                )
                print(Distribution(of: "\(loss), \(readers) readers: first write after it was possible", gaps))
            }
            await filter?.remove()
        }

        private func expectNothingWrong(in outcome: FailoverTrial.Outcome) {
            #expect(outcome.reckoning.isClean, "\(outcome.reckoning)")
            #expect(outcome.sentToStale.isEmpty)
            #expect(outcome.untyped.isEmpty)
        }
    }
}

private let failoversToMeasure = Int(ProcessInfo.processInfo.environment["POSTHOUSE_TEST_FAILOVERS"] ?? "") ?? 0

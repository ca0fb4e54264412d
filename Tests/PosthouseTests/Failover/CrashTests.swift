// SPDX-License-Identifier: Apache-2.0

import Foundation
import Posthouse
import PosthouseTestKit
import Testing

extension RealServers {
    @Suite struct CrashTests {
        @Test(arguments: Crash.allCases)
        func writesResumeOnTheNewPrimaryAndNothingAcknowledgedIsLost(_ crash: Crash) async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn())
                let outcome = try await CrashTrial(servers: servers, cluster: cluster).run(crash)
                await cluster.close()
                print(outcome)
                #expect(outcome.reckoning.isClean, "\(outcome.reckoning)")
                #expect(outcome.untyped.isEmpty)
                #expect(outcome.gap < .seconds(2))
            }
        }

        /// `POSTHOUSE_TEST_FAILOVERS=20` crashes a primary so many times in each way and prints the distribution: with
        /// readers, who keep connections to the heir warm, and without, when there are none.
        @Test(.enabled(if: failoversToMeasure > 0), .timeLimit(.minutes(30)), arguments: Crash.allCases, [2, 0])
        func theGapOfManyCrashesIsMeasured(_ crash: Crash, _ readers: Int) async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn())
                let trial = CrashTrial(servers: servers, cluster: cluster, readers: readers)
                var (gaps, elections): ([Duration], [Duration]) = ([], [])
                for _ in 0..<failoversToMeasure {
                    let outcome = try await trial.run(crash)
                    print(outcome)
                    #expect(outcome.reckoning.isClean, "\(outcome.reckoning)")
                    #expect(outcome.untyped.isEmpty)
                    gaps.append(outcome.gap)
                    elections.append(outcome.election)
                    try await trial.restore()
                }
                await cluster.close()
                print(
                    Distribution(of: "\(crash), \(readers) readers: new primary known after it could write", elections)
                )
                print(Distribution(of: "\(crash), \(readers) readers: first write after it was possible", gaps))
            }
        }
    }
}

private let failoversToMeasure = Int(ProcessInfo.processInfo.environment["POSTHOUSE_TEST_FAILOVERS"] ?? "") ?? 0

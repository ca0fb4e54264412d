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

        /// `POSTHOUSE_TEST_FAILOVERS=20` crashes a primary so many times in each way and prints the distribution.
        @Test(.enabled(if: failoversToMeasure > 0), .timeLimit(.minutes(30)))
        func theGapOfManyCrashesIsMeasured() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, setUp: [Application.table])) { servers in
                let cluster = try PostgresCluster(servers.dsn())
                for crash in Crash.allCases {
                    let trial = CrashTrial(servers: servers, cluster: cluster)
                    var gaps: [Duration] = []
                    for _ in 0..<failoversToMeasure {
                        let outcome = try await trial.run(crash)
                        print(outcome)
                        #expect(outcome.reckoning.isClean, "\(outcome.reckoning)")
                        #expect(outcome.untyped.isEmpty)
                        gaps.append(outcome.gap)
                        try await trial.restore()
                    }
                    print(Distribution(of: "first write after it was possible, \(crash)", gaps))
                }
                await cluster.close()
            }
        }
    }
}

private let failoversToMeasure = Int(ProcessInfo.processInfo.environment["POSTHOUSE_TEST_FAILOVERS"] ?? "") ?? 0

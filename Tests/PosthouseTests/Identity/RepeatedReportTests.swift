// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import Testing

@testable import Posthouse

/// What a server says when it is asked again without its control file, and what it had said before.
@Suite struct RepeatedReportTests {
    private static let address = "127.0.0.1:5432"

    private func replica(timeline: UInt32?, run: Int64? = 100, at address: String? = address) -> HostReport {
        HostReport(isInRecovery: true, timeline: timeline, incarnation: run, position: 7, address: address)
    }

    private let known = HostReport(
        isInRecovery: true,
        systemIdentifier: 42,
        timeline: 3,
        incarnation: 100,
        position: 5,
        address: address,
        upstream: "127.0.0.1:1"
    )

    @Test func theSameRunOfTheSameServerHasTheSameIdentity() throws {
        let report = try #require(replica(timeline: 3).completed(by: known))
        #expect(report.systemIdentifier == 42)
        #expect(report.position == 7, "what changes is new")
        #expect(report.upstream == nil, "what is gone is gone")
    }

    @Test func anotherRunOrAnotherServerIsAskedForAll() {
        #expect(replica(timeline: 3, run: 101).completed(by: known) == nil)
        #expect(replica(timeline: 3, at: "127.0.0.1:5433").completed(by: known) == nil, "behind a pooler, say")
        #expect(replica(timeline: 3, run: nil).completed(by: known) == nil, "who does not tell may be anybody")
    }

    @Test(arguments: [(nil, 3), (2, 3), (3, 3), (4, 4)] as [(UInt32?, UInt32)])
    func aReplicasTimelineOnlyGrows(told: UInt32?, expected: UInt32) throws {
        #expect(try #require(replica(timeline: told).completed(by: known)).timeline == expected)
    }

    @Test(arguments: [nil, 2, 4] as [UInt32?])
    func whoWasPromotedMeanwhileSaysItselfOnWhichTimelineItWrites(told: UInt32?) throws {
        var promoted = replica(timeline: told)
        promoted.isInRecovery = false
        #expect(try #require(promoted.completed(by: known)).timeline == told)
    }
}

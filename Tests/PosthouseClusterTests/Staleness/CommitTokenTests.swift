// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import PosthouseCluster

@Suite struct CommitTokenTests {
    private static let tokens = [
        CommitToken(systemIdentifier: 7_234_567_890_123_456_789, timeline: 12, position: 0x16_B374_D848),
        CommitToken(systemIdentifier: .max, timeline: .max, position: .max),
        CommitToken(systemIdentifier: nil, timeline: nil, position: 0),
        CommitToken(systemIdentifier: nil, timeline: 3, position: 1),
    ]

    @Test(arguments: tokens) func aTokenSurvivesItsText(token: CommitToken) {
        #expect(CommitToken(token.description) == token)
        #expect(token.description.utf8.count <= 64)
        let safe = Set("0123456789abcdef.")
        #expect(token.description.allSatisfy(safe.contains))
    }

    @Test(arguments: tokens) func aTokenSurvivesJSON(token: CommitToken) throws {
        let data = try JSONEncoder().encode([token])
        #expect(try JSONDecoder().decode([CommitToken].self, from: data) == [token])
    }

    @Test(arguments: [
        "", "1", "1...", "1.1.1", "1.1.1.1.1", "2.1.1.1", "1.-1.1.1", "1.1.1.+1", "1.1.1.G", "1.1.1. 1", "1.1.1.FF",
        "1.1.100000000.1", "1.1.1.10000000000000000", "1.1.1.1\u{0}", String(repeating: "1", count: 70),
    ])
    func anythingElseIsNone(text: String) {
        #expect(CommitToken(text) == nil)
    }

    @Test func badJSONIsADecodingError() {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([CommitToken].self, from: Data(#"["1.x.1.1"]"#.utf8))
        }
    }

    @Test func aServerHasReachedItOnTheSameOrALaterTimelineOnly() {
        let token = CommitToken(systemIdentifier: 1, timeline: 5, position: 100)
        #expect(token.isReached(by: 100, timeline: 5))
        #expect(!token.isReached(by: 99, timeline: 5))
        #expect(token.isReached(by: 100, timeline: 6))
        #expect(!token.isReached(by: 99, timeline: 6))
        #expect(!token.isReached(by: 100_000, timeline: 4))
        #expect(!token.isReached(by: nil, timeline: 5))
    }
}

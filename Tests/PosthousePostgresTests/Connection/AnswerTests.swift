// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import PosthousePostgres

/// What a connection knows of the server's answers.
@Suite(.timeLimit(.minutes(2))) struct AnswerTests {
    private final class Times: ConnectionEvents {
        let measuresResponses: Bool
        private let times = Mutex<[Duration]>([])

        init(measuresResponses: Bool) {
            self.measuresResponses = measuresResponses
        }

        var all: [Duration] { times.withLock { $0 } }

        func connection(_ connection: DatabaseConnection, answeredAfter time: Duration) {
            times.withLock { $0.append(time) }
        }
    }

    @Test func whoWantsToKnowIsToldHowLongAnAnswerTook() async throws {
        let times = Times(measuresResponses: true)
        try await withConnection(events: times) { connection in
            _ = try await connection.query("SELECT pg_sleep(0.05)")
            _ = try await databaseError { try await connection.query("SELECT 1 / (SELECT 0)") }
        }
        #expect(times.all.count >= 2)
        #expect(times.all.contains { $0 >= .milliseconds(50) })
    }

    @Test func nobodyIsToldWhoDoesNotWantToKnow() async throws {
        let times = Times(measuresResponses: false)
        try await withConnection(events: times) { connection in _ = try await connection.query("SELECT 1") }
        #expect(times.all.isEmpty)
    }

    @Test func answersAreCountedWhateverTheySay() async throws {
        try await withConnection { connection in
            var last = connection.answerCount
            func isCounted() -> Bool {
                defer { last = connection.answerCount }
                return connection.answerCount > last
            }
            _ = try await connection.query("SELECT 1")
            #expect(isCounted())
            try await connection.executeScript("SELECT 1; SELECT 2")
            #expect(isCounted())
            try await connection.ping()
            #expect(isCounted())
            _ = try await databaseError { try await connection.query("SELECT 1 / (SELECT 0)") }
            #expect(isCounted())
            let late = try await databaseError {
                try await connection.query("SELECT pg_sleep(60)", deadline: .now + .milliseconds(50))
            }
            #expect(late.code == .timedOut)
            #expect(!isCounted())
        }
    }
}

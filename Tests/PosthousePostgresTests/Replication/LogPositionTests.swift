// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit
import Testing

@testable import PosthousePostgres

@Suite struct LogPositionTests {
    private let layout = LogPosition.Layout(blockSize: 8192, segmentSize: 16 << 20)

    @Test func anLSNIsWrittenAsPostgreSQLWritesIt() {
        #expect(LogPosition.text(ofLSN: 0) == "0/0")
        #expect(LogPosition.text(ofLSN: 0x16_B374_D848) == "16/B374D848")
        #expect(LogPosition.text(ofLSN: .max) == "FFFFFFFF/FFFFFFFF")
    }

    @Test func aPositionBehindAPagesHeaderIsTheEndOfThePageBefore() {
        #expect(layout.recordEnd(before: 8192 * 5 + 24) == 8192 * 5)
        #expect(layout.recordEnd(before: (16 << 20) * 3 + 40) == (16 << 20) * 3)
    }

    @Test func aPositionWithinAPageIsLeftAlone() {
        for lsn in [8192 * 5 + 48, 8192 * 5 + 40, 8192 * 5, (16 << 20) + 64] as [UInt64] {
            #expect(layout.recordEnd(before: lsn) == lsn)
        }
        #expect(LogPosition.Layout(blockSize: 0, segmentSize: 0).recordEnd(before: 24) == 24)
    }

    @Test func serversFrom19OnWaitByThemselves() {
        #expect(
            ReplayStatement(serverVersion: 190_000, lsn: 0x1_6B37_4D84, atMost: .milliseconds(250))
                == .wait("WAIT FOR LSN '1/6B374D84' WITH (MODE 'standby_replay', TIMEOUT '250ms', NO_THROW)")
        )
        guard case .poll = ReplayStatement(serverVersion: 189_999, lsn: 1, atMost: .seconds(1)) else {
            Issue.record("a server that does not know the statement is sent it")
            return
        }
    }

    @Test(arguments: [Duration.zero, .nanoseconds(1), .seconds(-3)])
    func aWaitWithoutTimeIsNotForEver(_ time: Duration) {
        #expect(
            ReplayStatement(serverVersion: 190_001, lsn: 1, atMost: time)
                == .wait("WAIT FOR LSN '0/1' WITH (MODE 'standby_replay', TIMEOUT '1ms', NO_THROW)")
        )
    }

    @Test func theAnswersOfAServerThatWaitsAreKnown() {
        #expect(ReplayWait(status: "success") == .reached)
        #expect(ReplayWait(status: "timeout") == .timedOut)
        #expect(ReplayWait(status: "not in recovery") == .notInRecovery)
        #expect(ReplayWait(status: "ready") == nil)
    }
}

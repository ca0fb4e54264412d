// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster

/// Answers that come in another order than they were asked for, and how late that makes a replica look.
@Suite struct FreshnessOrderTests {
    private let freshness = Freshness(PoolGroup<Int>(), longestGap: .seconds(7))
    private let start = ContinuousClock.now
    private var machine = TopologyMachine(labels: ["db1:5432", "db2:5432"])

    init() {
        hear(0, at: 1, position: 100, asked: 0)
        hear(1, at: 1, position: 100, asked: 0)
        hear(0, at: 2, position: 200, asked: 1)
        hear(0, at: 3, position: 300, asked: 2)
        hear(1, at: 3.5, position: 100, asked: 3.5)
    }

    private mutating func hear(_ host: Int, at seconds: Double, run: Int64 = 1, position: UInt64, asked: Double) {
        let report = HostReport(
            isInRecovery: host != 0,
            systemIdentifier: 7,
            timeline: 1,
            incarnation: run + Int64(host) * 100,
            position: position
        )
        let event = TopologyMachine.Event.admitted(
            host: host,
            report,
            asked: start + .seconds(asked),
            as: machine.reach(of: report, at: host)
        )
        let now = start + .seconds(seconds)
        _ = machine.handle(event, now: now)
        freshness.note(event, machine, [], readless: [], now: now)
    }

    /// Asked before the primary wrote what the replica has not.
    @Test mutating func whatWasAskedBeforeTheLastAnswerMakesNobodyLessLate() throws {
        let lag = try #require(freshness.lag(of: 1))
        #expect(lag.time > .seconds(1))
        hear(1, at: 3.6, position: 100, asked: 0.9)
        #expect(freshness.lag(of: 1) == lag)
        hear(1, at: 3.7, position: 300, asked: 3.6)
        #expect(freshness.lag(of: 1)?.time == .zero)
    }

    /// Another replica that shares the address is somewhere else in the log.
    @Test mutating func whoSharesAnAddressMakesTheOtherNotLessLate() throws {
        let lag = try #require(freshness.lag(of: 1))
        hear(1, at: 3.6, run: 900, position: 300, asked: 3.6)
        #expect(freshness.lag(of: 1) == lag)
    }
}

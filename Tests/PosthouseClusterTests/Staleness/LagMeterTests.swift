// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseCluster

@Suite struct LagMeterTests {
    private let start = ContinuousClock.now

    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    @Test func withoutAPrimaryNoLagIsKnown() {
        #expect(LagMeter(longestGap: .seconds(3)).lag(replayed: 100, timeline: 1, asked: start) == nil)
    }

    @Test func aReplicaThatDoesNotTellItsPositionHasNoKnownLag() {
        var meter = LagMeter(longestGap: .seconds(3))
        meter.noteWritten(100, timeline: 1, asked: start)
        #expect(meter.lag(replayed: nil, timeline: 1, asked: at(1)) == nil)
    }

    @Test func timeIsSinceThePrimaryWasFirstSeenBeyondTheReplica() {
        var meter = LagMeter(longestGap: .seconds(3))
        for second in 0...10 {
            meter.noteWritten(UInt64(second) * 100, timeline: 1, asked: at(Double(second)))
        }
        #expect(meter.lag(replayed: 650, timeline: 1, asked: at(10)) == ReplicaLag(bytes: 350, time: .seconds(3)))
        #expect(meter.lag(replayed: 1000, timeline: 1, asked: at(10)) == ReplicaLag(bytes: 0, time: .zero))
    }

    @Test func anIdlePrimaryDoesNotMakeReplicasLookLate() {
        var meter = LagMeter(longestGap: .seconds(3))
        for second in 0...3600 { meter.noteWritten(500, timeline: 1, asked: at(Double(second))) }
        #expect(meter.lag(replayed: 500, timeline: 1, asked: at(3600)) == ReplicaLag(bytes: 0, time: .zero))
        // It was asked an hour ago, and has been behind for as long as anybody knows.
        #expect(meter.lag(replayed: 400, timeline: 1, asked: at(3600))?.time == .seconds(3600))
    }

    @Test func whatThePrimaryWroteAfterTheReplicaWasAskedDoesNotCountAsTime() {
        var meter = LagMeter(longestGap: .seconds(3))
        meter.noteWritten(100, timeline: 1, asked: at(0))
        meter.noteWritten(900, timeline: 1, asked: at(3))
        #expect(meter.lag(replayed: 100, timeline: 1, asked: at(2)) == ReplicaLag(bytes: 800, time: .zero))
    }

    /// It may have written at once.
    @Test func aTimeInWhichThePrimaryDidNotAnswerCountsAsWrittenIn() {
        var meter = LagMeter(longestGap: .seconds(3))
        meter.noteWritten(100, timeline: 1, asked: at(0))
        meter.noteWritten(100, timeline: 1, asked: at(1))
        meter.noteWritten(900, timeline: 1, asked: at(41))
        #expect(meter.lag(replayed: 500, timeline: 1, asked: at(40)) == ReplicaLag(bytes: 400, time: .seconds(39)))
        #expect(meter.lag(replayed: 500, timeline: 1, asked: at(42)) == ReplicaLag(bytes: 400, time: .seconds(41)))
        #expect(meter.lag(replayed: 900, timeline: 1, asked: at(42)) == ReplicaLag(bytes: 0, time: .zero))
        meter.noteWritten(1000, timeline: 1, asked: at(42))
        #expect(meter.lag(replayed: 950, timeline: 1, asked: at(43))?.time == .seconds(1))
    }

    @Test func aReplicaOnAnOlderTimelineHasNoKnownLag() {
        var meter = LagMeter(longestGap: .seconds(3))
        meter.noteWritten(100, timeline: 2, asked: at(0))
        #expect(meter.lag(replayed: 5000, timeline: 1, asked: at(1)) == nil)
        #expect(meter.lag(replayed: 100, timeline: 3, asked: at(1)) != nil)
    }

    /// What the former primary wrote last, and nobody has, holds nobody to it.
    @Test func aNewPrimaryBeginsWhereItIs() {
        var meter = LagMeter(longestGap: .seconds(3))
        meter.noteWritten(100, timeline: 1, asked: at(0))
        meter.noteWritten(900, timeline: 1, asked: at(1))
        meter.noteWritten(500, timeline: 2, asked: at(2))
        #expect(meter.written == 500)
        #expect(meter.lag(replayed: 500, timeline: 2, asked: at(3)) == ReplicaLag(bytes: 0, time: .zero))
    }

    @Test func answersThatWereOvertakenChangeNothing() {
        var meter = LagMeter(longestGap: .seconds(3))
        meter.noteWritten(900, timeline: 1, asked: at(1))
        meter.noteWritten(500, timeline: 1, asked: at(2))
        meter.noteWritten(950, timeline: 1, asked: at(0.5))
        #expect(meter.written == 900)
    }

    /// However long it runs, memory is bounded, and the time of a lag is right within a factor of two.
    @Test func theFarPastIsCoarseAndTheNearOneFine() throws {
        var meter = LagMeter(longestGap: .seconds(3))
        for second in 1...100_000 {
            meter.noteWritten(UInt64(second) * 10, timeline: 1, asked: at(Double(second)))
        }
        for late in [1, 10, 100, 128] {
            let lag = try #require(meter.lag(replayed: UInt64(100_000 - late) * 10, timeline: 1, asked: at(100_000)))
            #expect(lag.bytes == UInt64(late) * 10)
            #expect(lag.time >= .seconds(late / 2 - 1) && lag.time <= .seconds(late), "\(late): \(lag.time)")
        }
        let forever = try #require(meter.lag(replayed: 0, timeline: 1, asked: at(100_000)))
        #expect(forever.time > .seconds(1000))
    }
}

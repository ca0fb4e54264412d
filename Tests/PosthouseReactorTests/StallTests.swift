// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import PosthouseReactor

@Suite(.timeLimit(.minutes(20)))
struct StallTests {
    @Test func aJobThatBlocksTheLoopIsKnownDuringAndAfterwards() async throws {
        try await withLoop { loop in
            let start = ContinuousClock.now
            let blocked = Flag()
            loop.execute { blocked.waitBlocking() }
            // While it lasts.
            try await eventually { loop.stall(since: start) >= .milliseconds(60) }
            blocked.set()
            await loop.turn()
            #expect(loop.stall(since: start) >= .milliseconds(60))
            let after = ContinuousClock.now
            #expect(loop.stall(since: after) <= after.duration(to: .now))
        }
    }

    @Test func onlyThePartAfterTheGivenMomentCounts() async throws {
        try await withLoop { loop in
            let start = ContinuousClock.now
            let blocked = Flag()
            loop.execute { blocked.waitBlocking() }
            try await eventually { loop.stall(since: start) >= .seconds(1) }
            let middle = ContinuousClock.now
            blocked.set()
            await loop.turn()
            let whole = loop.stall(since: start)
            #expect(whole >= .seconds(1))
            // Half of it is for what a busy machine adds.
            #expect(loop.stall(since: middle) <= whole - .milliseconds(500))
        }
    }

    @Test func aDeadlineInThePastDoesNotMakeTheLoopLate() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            let longAgo = ContinuousClock.now - .seconds(3600)
            for _ in 0..<10 {
                #expect(await outcome(of: registration, until: longAgo) == .timedOut)
                try await loop.sleep(until: longAgo)
            }
            #expect(loop.stall(since: longAgo) < .seconds(1800))
            registration.deregister()
        }
    }

    /// The process is stopped with SIGSTOP, by a shell that continues it afterwards.
    @Test func aStoppedProcessIsKnownWhenThereWasAPlan() async throws {
        await #expect(processExitsWith: .success) {
            let loop = try EventLoop(name: "test")
            let start = ContinuousClock.now
            let done = Flag()
            // The monitor's tick: a loop that always has a plan.
            let ticking = Task(executorPreference: loop) {
                while !done.isSet { try await loop.sleep(until: .now + .milliseconds(5)) }
            }
            let deadline = ContinuousClock.now + .seconds(300)
            while loop.stall(since: start) < .milliseconds(150), ContinuousClock.now < deadline {
                _ = shell("kill -STOP $PPID; sleep 0.2; kill -CONT $PPID")
            }
            done.set()
            try await ticking.value
            exit(loop.stall(since: start) >= .milliseconds(150) ? EXIT_SUCCESS : EXIT_FAILURE)
        }
    }

    // MARK: The bookkeeping, without a clock

    @Test func theHistoryKnowsTheLongestPartAfterAMoment() {
        var history = StallHistory()
        #expect(history.longest(since: 0) == 0)
        history.record(from: 100, to: 200)
        history.record(from: 300, to: 350)
        #expect(history.longest(since: 0) == 100)
        #expect(history.longest(since: 180) == 50)
        #expect(history.longest(since: 320) == 30)
        #expect(history.longest(since: 350) == 0)
    }

    @Test func theHistoryForgetsTheOldestOnly() {
        var history = StallHistory()
        history.record(from: 0, to: 1_000)
        for number in 1...31 { history.record(from: Ticks(number) * 2_000, to: Ticks(number) * 2_000 + 10) }
        #expect(history.longest(since: 0) == 1_000)
        history.record(from: 100_000, to: 100_020)
        #expect(history.longest(since: 0) == 20)
    }

    @Test func whatIsTolerableIsNotAStall() {
        let turn = StallHistory.toleratedTurn
        #expect(LoopPhase.turn(began: 5).stall(since: 0, now: 5 + turn) == 0)
        #expect(LoopPhase.turn(began: 5).stall(since: 0, now: 6 + turn) == turn + 1)
        let oversleep = StallHistory.toleratedOversleep
        #expect(LoopPhase.asleep(until: 5).stall(since: 0, now: 5 + oversleep) == 0)
        #expect(LoopPhase.asleep(until: 5).stall(since: 0, now: 6 + oversleep) == oversleep + 1)
        #expect(LoopPhase.asleep(until: .max).stall(since: 0, now: .max) == 0)
    }

    @Test(arguments: [0, 1, Ticks.max / 2, Ticks.max])
    func aPhaseSurvivesItsEncoding(moment: Ticks) {
        guard case .turn(moment) = LoopPhase(bits: LoopPhase.turn(began: moment).bits),
            case .asleep(moment) = LoopPhase(bits: LoopPhase.asleep(until: moment).bits)
        else {
            Issue.record("changed")
            return
        }
    }
}

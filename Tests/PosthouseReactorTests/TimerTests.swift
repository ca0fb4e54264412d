// SPDX-License-Identifier: Apache-2.0
import FoundationEssentials
import Testing

@testable import PosthouseReactor

@Suite(.timeLimit(.minutes(20)))
struct TimerTests {
    @Test func aSleepEndsAfterItsMoment() async throws {
        try await withLoop { loop in
            for microseconds in [-1_000_000, 0, 1, 100, 5_000] {
                let moment = ContinuousClock.now + .microseconds(microseconds)
                try await loop.sleep(until: moment)
                #expect(ContinuousClock.now >= moment)
            }
        }
    }

    @Test func aCancelledSleepEndsAtOnceAndLeavesNoTimer() async throws {
        try await withLoop { loop in
            for _ in 0..<100 {
                let task = Task { try await loop.sleep(until: later()) }
                if Bool.random() { try await loop.eventually { $0.pendingTimers == 1 } }
                task.cancel()
                await #expect(throws: CancellationError.self) { try await task.value }
                #expect(loop.statistics.pendingTimers == 0)
            }
        }
    }

    @Test func aTaskCancelledBeforeDoesNotSleep() async throws {
        try await withLoop { loop in
            let task = Task {
                while !Task.isCancelled { await Task.yield() }
                try await loop.sleep(until: later())
            }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
    }

    @Test func anEarlierTimerWakesALoopThatSleepsForALaterOne() async throws {
        try await withLoop { loop in
            let late = loop.schedule(at: later()) {}
            // The loop sleeps until then; each of these is earlier.
            for _ in 0..<50 {
                await loop.turn()
                try await loop.sleep(until: .now + .microseconds(200))
            }
            loop.cancel(late)
        }
    }

    @Test func actionsRunOnTheLoopInTheOrderOfTheirMoments() async throws {
        try await withLoop { loop in
            let order = Box<[Int]>()
            var lead = Duration.milliseconds(2)
            // All have to be there before the first is due; a slow machine gets more time.
            while true {
                order.value = []
                let start = ContinuousClock.now + lead
                let tokens = (0..<100).shuffled().map { number in
                    loop.schedule(at: start + .microseconds(number)) {
                        #expect(EventLoop.current === loop)
                        order.value?.append(number)
                    }
                }
                if ContinuousClock.now < start { break }
                for token in tokens { loop.cancel(token) }
                await loop.turn()
                lead *= 2
            }
            try await eventually { order.value?.count == 100 }
            #expect(order.value == Array(0..<100))
        }
    }

    @Test func whatASocketHoldsIsHandedOutBeforeATimerThatIsSetAfterwards() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near) { _ in }
            for _ in 0..<50 {
                let seen: Bool = await withCheckedContinuation { continuation in
                    loop.schedule(at: .now) {
                        pair.ping()
                        loop.schedule(at: .now - .seconds(1)) {
                            continuation.resume(returning: registration.hasPendingEvent)
                        }
                    }
                }
                #expect(seen)
                drain(pair.near)
                await loop.turn()
                _ = registration.takePendingEvents()
            }
            registration.deregister()
        }
    }

    @Test func aCancelledActionDoesNotRun() async throws {
        try await withLoop { loop in
            let ran = Counter()
            let tokens = (0..<100).map { _ in loop.schedule(at: later()) { ran.increment() } }
            #expect(loop.statistics.pendingTimers == 100)
            for token in tokens.shuffled() { loop.cancel(token) }
            for token in tokens { loop.cancel(token) }
            #expect(loop.statistics.pendingTimers == 0)
            #expect(ran.value == 0)
        }
    }

    @Test func aTokenGivenToAnotherLoopCancelsWhereItBelongs() async throws {
        try await withLoop { loop in
            try await withLoop { other in
                other.schedule(at: later()) {}
                let token = loop.schedule(at: later()) {}
                other.cancel(token)
                #expect(loop.statistics.pendingTimers == 0)
                #expect(other.statistics.pendingTimers == 1)
                await other.shutdown()
            }
        }
    }

    @Test func anActionCanCancelTheNextOneThatIsDue() async throws {
        try await withLoop { loop in
            let ran = Counter()
            await loop.run {
                let box = Box<TimerToken>()
                loop.schedule(at: .now) {
                    if let token = box.value { loop.cancel(token) }
                }
                box.value = loop.schedule(at: .now) { ran.increment() }
            }
            try await loop.eventually { $0.pendingTimers == 0 }
            await loop.turn()
            #expect(ran.value == 0)
        }
    }

    @Test func actionsThatScheduleThemselvesForThePastStarveNeitherTheLoopNorOtherTimers() async throws {
        try await withLoop { loop in
            let done = Flag()
            @Sendable func again() {
                if !done.isSet { loop.schedule(at: .now - .seconds(1), again) }
            }
            loop.schedule(at: .now, again)
            for _ in 0..<100 {
                await loop.turn()
                try await loop.sleep(until: .now)
            }
            done.set()
            try await loop.eventually { $0.pendingTimers == 0 }
        }
    }

    @Test func aTimerFiresWhileTheDefaultExecutorIsStarved() async throws {
        try await withLoop { loop in
            let fired = Flag()
            let blocked = Counter()
            // Those that this process may use, and not those that the machine has.
            let width = ProcessInfo.processInfo.activeProcessorCount
            // Takes every thread of the default executor, until a task on the loop has slept.
            let sleeper = Task(executorPreference: loop) {
                while blocked.value < width { try await loop.sleep(until: .now + .milliseconds(1)) }
                try await loop.sleep(until: .now + .milliseconds(5))
                fired.set()
            }
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<width {
                    group.addTask {
                        blocked.increment()
                        fired.waitBlocking()
                    }
                }
            }
            try await sleeper.value
        }
    }

    @Test func manyTimersFromManyThreadsAllEnd() async throws {
        try await withLoop { loop in
            let fired = Counter()
            let cancelled = Counter()
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<500 {
                    group.addTask {
                        var random = Random(seed: UInt64(number))
                        let moment = ContinuousClock.now + .microseconds(random.next(below: 5_000))
                        let task = Task { try await loop.sleep(until: moment) }
                        if random.next(below: 2) == 0 { task.cancel() }
                        switch await task.result {
                        case .success: fired.increment()
                        case .failure: cancelled.increment()
                        }
                    }
                }
            }
            #expect(fired.value + cancelled.value == 500)
        }
    }

    @Test(arguments: 0..<20)
    func theHeapGivesTimersInOrderWhateverIsRemoved(seed: UInt64) {
        var random = Random(seed: seed)
        var heap = TimerHeap()
        var timers: [LoopTimer] = []
        for _ in 0..<300 {
            if random.next(below: 4) == 0, !timers.isEmpty {
                let victim = timers.remove(at: random.next(below: timers.count))
                #expect(heap.cancel(victim) != nil)
                #expect(heap.cancel(victim) == nil)
            } else {
                let timer = LoopTimer(due: Ticks(random.next(below: 100)))
                guard case .pending = heap.insert(timer, .action {}) else {
                    Issue.record("not inserted")
                    return
                }
                timers.append(timer)
            }
            #expect(heap.count == timers.count)
            #expect(heap.nextDue == timers.map(\.due).min() ?? .max)
        }
        var order: [Ticks] = []
        while heap.count > 0 {
            order.append(heap.nextDue)
            #expect(heap.popDue(now: .max) != nil)
        }
        #expect(order == timers.map(\.due).sorted())
    }
}

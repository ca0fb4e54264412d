// SPDX-License-Identifier: Apache-2.0
import Glibc
import PosthouseReactor
import Testing

@Suite(.timeLimit(.minutes(20)))
struct TaskExecutorTests {
    private actor Tally {
        private(set) var onLoop = 0
        func add(_ loop: EventLoop) {
            if EventLoop.current === loop { onLoop += 1 }
        }
    }

    @Test func aTaskThatPrefersTheLoopRunsOnItsThreadAndStaysThere() async throws {
        try await withLoop { loop in
            #expect(EventLoop.current == nil)
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            let task = Task(executorPreference: loop) {
                var onLoop = EventLoop.current === loop
                for _ in 0..<100 {
                    pair.ping()
                    try await registration.wait(for: .read, until: later())
                    onLoop = onLoop && EventLoop.current === loop
                    drain(pair.near)
                    await Task.yield()
                    onLoop = onLoop && EventLoop.current === loop
                    try await loop.sleep(until: .now)
                    onLoop = onLoop && EventLoop.current === loop
                }
                return onLoop
            }
            #expect(try await task.value)
            registration.deregister()
        }
    }

    @Test func structuredChildrenAndDefaultActorsFollowThePreference() async throws {
        try await withLoop { loop in
            let tally = Tally()
            await withTaskExecutorPreference(loop) {
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<100 {
                        group.addTask {
                            await tally.add(loop)
                            if EventLoop.current === loop { await tally.add(loop) }
                        }
                    }
                }
            }
            #expect(await tally.onLoop == 200)
        }
    }

    @Test func aTaskWithoutPreferenceIsResumedOnItsOwnExecutor() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            for _ in 0..<100 {
                async let waiting = outcome(of: registration)
                pair.ping()
                #expect(await waiting == nil)
                #expect(EventLoop.current == nil)
                drain(pair.near)
            }
            registration.deregister()
        }
    }

    @Test func workRunsInTheOrderOfItsSubmission() async throws {
        try await withLoop { loop in
            let order = Box<[Int]>()
            order.value = []
            // From a foreign thread, and from the loop itself, which may not overtake.
            for number in 0..<100 {
                loop.execute {
                    order.value?.append(number)
                    loop.execute { order.value?.append(number + 1000) }
                }
            }
            await loop.turn()
            await loop.turn()
            let seen = order.value ?? []
            #expect(seen.filter { $0 < 1000 } == Array(0..<100))
            #expect(seen.filter { $0 >= 1000 } == Array(1000..<1100))
        }
    }

    @Test func noSubmissionIsLostWhetherTheLoopSleepsOrNot() async throws {
        try await withLoop { loop in
            let ran = Counter()
            // Threads of different rhythm, so that the loop is met asleep, awake and in between.
            await withTaskGroup(of: Void.self) { group in
                for thread in 0..<4 {
                    group.addTask {
                        var random = Random(seed: UInt64(thread))
                        for _ in 0..<1_000 {
                            await withCheckedContinuation { continuation in
                                loop.execute {
                                    ran.increment()
                                    continuation.resume()
                                }
                            }
                            spin(random.next(below: 500))
                        }
                    }
                }
            }
            #expect(ran.value == 4_000)
        }
    }

    @Test func jobsThatKeepTheLoopBusyDoNotStarveSocketsTimersOrEachOther() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            let done = Flag()
            // Neither ends before the other tasks have had their turn.
            let spinners = (0..<3).map { _ in
                Task(executorPreference: loop) { while !done.isSet { await Task.yield() } }
            }
            @Sendable func again() {
                if !done.isSet { loop.execute(again) }
            }
            loop.execute(again)
            for _ in 0..<100 {
                async let waiting = outcome(of: registration)
                pair.ping()
                #expect(await waiting == nil)
                drain(pair.near)
                #expect(await outcome(of: registration, until: .now + .microseconds(50)) == .timedOut)
                try await loop.sleep(until: .now + .microseconds(50))
            }
            done.set()
            for spinner in spinners { await spinner.value }
            registration.deregister()
        }
    }

    @Test func socketsThatKeepTheLoopBusyDoNotStarveJobs() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let done = Flag()
            // Each callback makes the socket readable anew: there is an event in every turn.
            let registration = try loop.register(pair.near) { _ in
                if !done.isSet { pair.ping() }
            }
            pair.ping()
            for _ in 0..<1_000 { await loop.turn() }
            done.set()
            await loop.turn()
            registration.deregister()
        }
    }

    @Test func loopsHaveNumbersOfTheirOwn() async throws {
        try await withLoop { first in
            try await withLoop { second in
                #expect(first.index != second.index)
                #expect(await first.run { EventLoop.current === first })
                #expect(await second.run { EventLoop.current === second })
            }
        }
    }

    @Test func theGroupHandsItsLoopsOutInTurn() async throws {
        let group = try EventLoopGroup(count: 3, name: "test")
        let round = (0..<6).map { _ in group.next() }
        #expect(Set(round.map(\.index)).count == 3)
        #expect(round[0] === round[3] && round[1] === round[4] && round[2] === round[5])
        await group.shutdown()
        for loop in group.loops { #expect(loop.statistics == .nothing) }
    }

    @Test func theSharedGroupIsOne() throws {
        let group = try EventLoopGroup.shared
        #expect(try EventLoopGroup.shared === group)
        #expect((1...4).contains(group.loops.count))
    }
}

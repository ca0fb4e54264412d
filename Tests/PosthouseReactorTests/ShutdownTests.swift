// SPDX-License-Identifier: Apache-2.0
import Glibc
import PosthouseReactor
import Testing

@Suite(.timeLimit(.minutes(20)))
struct ShutdownTests {
    @Test func waitingAndSleepingTasksAreToldAndNothingIsLeft() async throws {
        let loop = try EventLoop(name: "test")
        let pairs = try (0..<20).map { _ in try SocketPair() }
        let registrations = try pairs.map { try loop.register($0.near) { _ in } }
        let ran = Counter()
        let waits = registrations.enumerated().map { number, registration in
            Task(executorPreference: number % 2 == 0 ? loop : nil) { await outcome(of: registration) }
        }
        let sleeps = (0..<20).map { number in
            Task(executorPreference: number % 2 == 0 ? loop : nil) { try await loop.sleep(until: later()) }
        }
        loop.schedule(at: later()) { ran.increment() }
        try await loop.eventually { $0.waitingContinuations == 20 && $0.pendingTimers == 21 }
        await loop.shutdown()
        #expect(loop.statistics == .nothing)
        for wait in waits { #expect(await wait.value == .shutDown) }
        for sleep in sleeps {
            await #expect { try await sleep.value } throws: { ($0 as? ReactorError)?.code == .shutDown }
        }
        #expect(ran.value == 0)
        for registration in registrations {
            #expect(await outcome(of: registration) == .shutDown)
            registration.deregister()
            #expect(await outcome(of: registration) == .shutDown)
        }
    }

    @Test func afterwardsEverythingIsRefusedOrRunsElsewhere() async throws {
        let loop = try EventLoop(name: "test")
        let pair = try SocketPair()
        let registration = try loop.register(pair.near)
        await loop.shutdown()
        await loop.shutdown()
        #expect { _ = try loop.register(pair.near) } throws: { ($0 as? ReactorError)?.code == .shutDown }
        #expect { try registration.replace(with: pair.far) } throws: { ($0 as? ReactorError)?.code == .shutDown }
        await #expect { try await loop.sleep(until: .now) } throws: { ($0 as? ReactorError)?.code == .shutDown }
        loop.cancel(loop.schedule(at: .now) { Issue.record("fired after the end") })
        registration.interrupt()
        // Work is not lost, and a task that prefers the loop still ends.
        let where_ = await loop.run { EventLoop.current == nil }
        #expect(where_)
        let task = Task(executorPreference: loop) {
            await Task.yield()
            try? await Task.sleep(for: .microseconds(1))
            return await outcome(of: registration)
        }
        #expect(await task.value == .shutDown)
        #expect(loop.stall(since: .now) == .zero)
        #expect(loop.statistics == .nothing)
    }

    @Test func itCanBeCalledFromEverywhereAtOnce() async throws {
        for _ in 0..<50 {
            let loop = try EventLoop(name: "test")
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<4 {
                    group.addTask(executorPreference: number % 2 == 0 ? loop : nil) { await loop.shutdown() }
                }
            }
            #expect(loop.statistics == .nothing)
        }
    }

    @Test func workSubmittedDuringTheEndIsDoneOnce() async throws {
        for _ in 0..<50 {
            let loop = try EventLoop(name: "test")
            let ran = Counter()
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        for _ in 0..<100 { loop.execute { ran.increment() } }
                    }
                }
                group.addTask { await loop.shutdown() }
            }
            try await eventually { ran.value == 300 }
        }
    }

    @Test func registeringDuringTheEndLeavesNothing() async throws {
        for _ in 0..<50 {
            let loop = try EventLoop(name: "test")
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<3 {
                    group.addTask {
                        guard let pair = try? SocketPair() else { return }
                        while let registration = try? loop.register(pair.near) {
                            #expect([.shutDown, .timedOut].contains(await outcome(of: registration, until: .now)))
                            registration.deregister()
                        }
                    }
                }
                group.addTask { await loop.shutdown() }
            }
            #expect(loop.statistics == .nothing)
        }
    }

    @Test func aBusyTaskDoesNotHoldUpTheEnd() async throws {
        let loop = try EventLoop(name: "test")
        let done = Flag()
        let spinner = Task(executorPreference: loop) { while !done.isSet { await Task.yield() } }
        await loop.turn()
        await loop.shutdown()
        done.set()
        await spinner.value
    }

    @Test func aLoopThatHasEndedIsFreed() async throws {
        weak var freed: EventLoop?
        do {
            let loop = try EventLoop(name: "test")
            freed = loop
            let pair = try SocketPair()
            let registration = try loop.register(pair.near) { [weak loop] _ in _ = loop }
            _ = await outcome(of: registration, until: .now)
            await loop.shutdown()
        }
        try await eventually { freed == nil }
    }

    @Test func threadsAndDescriptorsAreGivenBack() async throws {
        await #expect(processExitsWith: .success) {
            func count(_ directory: String) -> Int {
                guard let handle = opendir(directory) else { return -1 }
                defer { closedir(handle) }
                var count = 0
                while readdir(handle) != nil { count += 1 }
                return count
            }
            func cycle() async throws {
                let group = try EventLoopGroup(count: 4, name: "test")
                let pairs = try (0..<20).map { _ in try SocketPair() }
                let registrations = try pairs.map { try group.next().register($0.near) }
                for registration in registrations { _ = await outcome(of: registration, until: .now) }
                await group.shutdown()
            }
            let descriptors = count("/proc/self/fd")
            for _ in 0..<20 { try await cycle() }
            // A thread reports its end just before it ends, and lets go of its loop, which closes what it has. The runtime
            // opens a few of its own; one that is lost in each cycle is more.
            func isClean() -> Bool { count("/proc/self/fd") < descriptors + 10 && count("/proc/self/task") <= 20 }
            let limit = ContinuousClock.now + .seconds(300)
            while !isClean(), ContinuousClock.now < limit { usleep(1000) }
            exit(isClean() ? EXIT_SUCCESS : EXIT_FAILURE)
        }
    }
}

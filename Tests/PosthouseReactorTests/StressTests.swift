// SPDX-License-Identifier: Apache-2.0
import Glibc
import PosthouseReactor
import Testing

/// Bounded random work; a lost wake-up shows as a test that hits its time limit. `POSTHOUSE_STRESS=100` makes it a hundred
/// times longer, `POSTHOUSE_SEED` replays one seed.
@Suite(.serialized, .timeLimit(.minutes(20)))
struct StressTests {
    private static func variable(_ name: String) -> Int? {
        getenv(name).flatMap { Int(String(cString: $0)) }
    }

    static let scale = max(1, variable("POSTHOUSE_STRESS") ?? 1)

    static let seeds: [UInt64] = {
        if let seed = variable("POSTHOUSE_SEED") { return [UInt64(seed)] }
        let first = UInt64.random(in: 0..<1_000_000)
        return [first, first + 1]
    }()

    @Test(arguments: seeds)
    func everyByteOfManyConversationsArrives(seed: UInt64) async throws {
        let group = try EventLoopGroup(count: 2, name: "test")
        let rounds = 150 * Self.scale
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for conversation in 0..<24 {
                let pair = try SocketPair()
                let near = try group.next().register(pair.near)
                let far = try group.next().register(pair.far)
                let executor = [nil, near.loop, far.loop][conversation % 3]
                tasks.addTask(executorPreference: executor) {
                    var random = Random(seed: seed &* 1000 &+ UInt64(conversation))
                    for round in 0..<rounds {
                        let byte = UInt8(truncatingIfNeeded: round)
                        send(byte, to: pair.near)
                        let answer = try await read(near, pair.near, &random)
                        #expect(answer == byte)
                    }
                    shutdown(pair.near, Int32(SHUT_WR))
                    near.deregister()
                }
                tasks.addTask(executorPreference: conversation % 2 == 0 ? nil : far.loop) {
                    var random = Random(seed: seed &* 2000 &+ UInt64(conversation))
                    while let byte = try await read(far, pair.far, &random) { send(byte, to: pair.far) }
                    far.deregister()
                }
            }
            try await tasks.waitForAll()
        }
        for loop in group.loops { #expect(loop.statistics == .nothing) }
        await group.shutdown()
    }

    /// Events, deadlines, cancellations, interrupts, replaced sockets and a second waiter, all at one registration.
    @Test(arguments: seeds, [false, true])
    func whateverHappensEachWaitEndsOnceAndTheNextOneWorks(seed: UInt64, onLoop: Bool) async throws {
        try await withLoop { loop in
            let pairs = [try SocketPair(), try SocketPair()]
            let registration = try loop.register(pairs[0].near) { _ in }
            let waits = 400 * Self.scale
            let done = Flag()
            let ended = Counter()
            await withTaskGroup(of: Void.self) { group in
                let waiters = Counter()
                for waiter in 0..<2 {
                    group.addTask(executorPreference: onLoop ? loop : nil) {
                        var random = Random(seed: seed &* 31 &+ UInt64(waiter))
                        for _ in 0..<waits {
                            await oneWait(registration, &random)
                            ended.increment()
                        }
                        waiters.increment()
                        if waiters.value == 2 { done.set() }
                    }
                }
                let disturbances: [@Sendable (inout Random) -> Void] = [
                    { _ in for pair in pairs { pair.ping() } },
                    { _ in registration.interrupt() },
                    { random in try? registration.replace(with: pairs[random.next(below: 2)].near) },
                    { _ in for pair in pairs { drain(pair.near) } },
                    { _ in _ = registration.takePendingEvents() },
                ]
                for (number, disturb) in disturbances.enumerated() {
                    group.addTask {
                        // A thread of its own, so that it neither starves the pool nor is starved by it.
                        await onThread {
                            var random = Random(seed: seed &* 37 &+ UInt64(number))
                            while !done.isSet {
                                disturb(&random)
                                usleep(UInt32(random.next(below: 100)))
                            }
                        }
                    }
                }
            }
            #expect(ended.value == 2 * waits)
            #expect(loop.statistics.waitingContinuations == 0)
            // After all this it works as on the first day.
            try registration.replace(with: pairs[0].near)
            _ = await outcome(of: registration, until: .now)
            drain(pairs[0].near)
            await loop.turn()
            _ = registration.takePendingEvents()
            async let waiting = outcome(of: registration)
            pairs[0].ping()
            #expect(await waiting == nil)
            registration.deregister()
        }
    }

    @Test(arguments: seeds)
    func registrationsThatComeAndGoOnNumbersThatAreReusedAreNeverConfused(seed: UInt64) async throws {
        let group = try EventLoopGroup(count: 2, name: "test")
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for worker in 0..<6 {
                tasks.addTask {
                    var random = Random(seed: seed &* 41 &+ UInt64(worker))
                    for _ in 0..<(100 * Self.scale) {
                        let pair = try SocketPair()
                        let called = Counter()
                        let registration = try group.next().register(pair.near) { _ in called.increment() }
                        if random.next(below: 2) == 0 {
                            // Nobody pings this socket: an event would be somebody else's.
                            await Task.yield()
                            #expect(await outcome(of: registration, until: .now) == .timedOut)
                            #expect(called.value == 0)
                        } else {
                            pair.ping()
                            #expect(await outcome(of: registration) == nil)
                        }
                        if random.next(below: 2) == 0 { pair.ping() }
                        registration.deregister()
                        let calls = called.value
                        await Task.yield()
                        #expect(called.value == calls)
                    }
                }
            }
            try await tasks.waitForAll()
        }
        for loop in group.loops { #expect(loop.statistics == .nothing) }
        await group.shutdown()
    }

    @Test(arguments: seeds)
    func loopsThatEndUnderLoadResumeEverybody(seed: UInt64) async throws {
        for round in 0..<(10 * Self.scale) {
            let loop = try EventLoop(name: "test")
            await withTaskGroup(of: Void.self) { tasks in
                for worker in 0..<6 {
                    tasks.addTask(executorPreference: worker % 2 == 0 ? loop : nil) {
                        var random = Random(seed: seed &+ UInt64(round * 6 + worker))
                        guard let pair = try? SocketPair(), let registration = try? loop.register(pair.near) else {
                            return
                        }
                        while true {
                            if random.next(below: 2) == 0 { pair.ping() }
                            let deadline = ContinuousClock.now + .microseconds(random.next(below: 200))
                            if await outcome(of: registration, until: deadline) == .shutDown { return }
                            drain(pair.near)
                            try? await loop.sleep(until: .now + .microseconds(random.next(below: 50)))
                        }
                    }
                }
                tasks.addTask {
                    var random = Random(seed: seed &+ UInt64(round))
                    try? await Task.sleep(for: .microseconds(random.next(below: 3_000)))
                    await loop.shutdown()
                }
            }
            #expect(loop.statistics == .nothing)
        }
    }
}

/// Reads one byte, waiting for it in varied ways; nil at the end of the stream.
private func read(_ registration: SocketRegistration, _ descriptor: Int32, _ random: inout Random) async throws
    -> UInt8?
{
    var byte: UInt8 = 0
    while true {
        switch recv(descriptor, &byte, 1, 0) {
        case 1: return byte
        case 0: return nil
        default: break
        }
        let deadline: ContinuousClock.Instant? =
            switch random.next(below: 3) {
            case 0: nil
            case 1: later()
            default: .now + .microseconds(random.next(below: 200))
            }
        do throws(SocketWaitError) {
            if random.next(below: 4) == 0 {
                try await registration.waitIgnoringCancellation(for: .read, until: deadline)
            } else {
                try await registration.wait(for: random.next(below: 8) == 0 ? [.read, .write] : .read, until: deadline)
            }
        } catch {
            guard error == .timedOut else { throw error }
        }
    }
}

/// One wait that something may end, and that a deadline or a cancellation ends at last.
private func oneWait(_ registration: SocketRegistration, _ random: inout Random) async {
    let interest: Readiness = random.next(below: 3) == 0 ? [.read, .write] : .read
    let deadline = ContinuousClock.now + .microseconds(random.next(below: 500))
    let ends: [SocketWaitError?] = [nil, .timedOut, .interrupted, .alreadyWaiting, .cancelled]
    if random.next(below: 2) == 0 {
        #expect(ends.contains(await outcome(of: registration, for: interest, until: deadline)))
    } else {
        let task = Task { await outcome(of: registration, for: interest, until: deadline) }
        if random.next(below: 2) == 0 { await Task.yield() }
        task.cancel()
        #expect(ends.contains(await task.value))
    }
}

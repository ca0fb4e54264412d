// SPDX-License-Identifier: Apache-2.0
import Glibc
import PosthouseReactor
import Testing

@Suite(.timeLimit(.minutes(20)))
struct DeadlineTests {
    /// A process that was stopped, or a loop that was blocked, wakes to find an answer and a deadline that passed.
    @Test func anAnswerThatIsThereWhenALateLoopLooksIsInTime() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            for _ in 0..<50 {
                let deadline = ContinuousClock.now + .milliseconds(2)
                let blocked = Flag()
                let blocking = Flag()
                loop.execute {
                    blocking.set()
                    blocked.waitBlocking()
                }
                try await eventually { blocking.isSet }
                async let waiting = outcome(of: registration, until: deadline)
                try await loop.eventually { $0.waitingContinuations == 1 }
                while ContinuousClock.now < deadline { await Task.yield() }
                pair.ping()
                blocked.set()
                #expect(await waiting == nil)
                drain(pair.near)
            }
            registration.deregister()
        }
    }

    @Test func moreAnswersThanTheKernelReportsAtOnceAreAllInTime() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            // One socket under many numbers, each with a watch of its own.
            let numbers = (0..<400).map { _ in dup(pair.near) }
            defer { for number in numbers { close(number) } }
            let registrations = try numbers.map { try loop.register($0) }
            let blocked = Flag()
            let blocking = Flag()
            loop.execute {
                blocking.set()
                blocked.waitBlocking()
            }
            try await eventually { blocking.isSet }
            let deadline = ContinuousClock.now + .milliseconds(20)
            await withTaskGroup(of: SocketWaitError?.self) { group in
                for registration in registrations {
                    group.addTask { await outcome(of: registration, until: deadline) }
                }
                group.addTask {
                    try? await loop.eventually { $0.waitingContinuations == 400 }
                    while ContinuousClock.now < deadline { await Task.yield() }
                    pair.ping()
                    blocked.set()
                    return nil
                }
                for await ended in group { #expect(ended == nil) }
            }
            for registration in registrations { registration.deregister() }
        }
    }

    @Test func anEarlierDeadlineWakesALoopThatSleepsForALaterOne() async throws {
        try await withLoop { loop in
            let patient = try SocketPair()
            let patientRegistration = try loop.register(patient.near)
            async let waiting = outcome(of: patientRegistration)
            try await loop.eventually { $0.waitingContinuations == 1 }
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            for _ in 0..<100 {
                await loop.turn()
                #expect(await outcome(of: registration, until: .now + .microseconds(300)) == .timedOut)
            }
            #expect(loop.statistics.waitingContinuations == 1)
            patient.ping()
            #expect(await waiting == nil)
            patientRegistration.deregister()
            registration.deregister()
        }
    }

    @Test func theDeadlineOfAFinishedWaitDoesNotEndTheNextOne() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            for _ in 0..<200 {
                let deadline = ContinuousClock.now + .microseconds(300)
                pair.ping()
                // Answered or not: the next wait must outlive that deadline.
                _ = await outcome(of: registration, until: deadline)
                drain(pair.near)
                _ = registration.takePendingEvents()
                async let waiting = outcome(of: registration)
                while ContinuousClock.now < deadline + .microseconds(100) { await Task.yield() }
                await loop.turn()
                pair.ping()
                #expect(await waiting == nil)
                drain(pair.near)
            }
            registration.deregister()
        }
    }

    @Test func everyDeadlineOfManyPasses() async throws {
        try await withLoop { loop in
            let pairs = try (0..<50).map { _ in try SocketPair() }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, pair) in pairs.enumerated() {
                    let registration = try loop.register(pair.near)
                    group.addTask {
                        var random = Random(seed: UInt64(number))
                        for _ in 0..<50 {
                            let deadline = ContinuousClock.now + .microseconds(random.next(below: 3_000))
                            #expect(await outcome(of: registration, until: deadline) == .timedOut)
                            #expect(ContinuousClock.now >= deadline)
                        }
                        registration.deregister()
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func noDeadlineAndAVeryFarOneAreTheSame() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            for deadline in [nil, ContinuousClock.now + .seconds(1_000_000_000_000)] {
                async let waiting = outcome(of: registration, until: deadline)
                try await loop.eventually { $0.waitingContinuations == 1 }
                await loop.turn()
                pair.ping()
                #expect(await waiting == nil)
                drain(pair.near)
            }
            registration.deregister()
        }
    }
}

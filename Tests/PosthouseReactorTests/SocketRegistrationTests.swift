// SPDX-License-Identifier: Apache-2.0
import Glibc
import PosthouseReactor
import Testing

@Suite(.timeLimit(.minutes(2)))
struct SocketRegistrationTests {
    @Test func aWaitEndsWhenTheSocketBecomesReadable() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            async let waiting = outcome(of: registration, until: later())
            try await loop.eventually { $0.waitingContinuations == 1 }
            pair.ping()
            #expect(await waiting == nil)
            #expect(pair.take() == 1)
            registration.deregister()
        }
    }

    @Test func anEventBeforeTheWaitIsNotLost() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            pair.ping()
            #expect(await outcome(of: registration, until: later()) == nil)
            registration.deregister()
        }
    }

    @Test func aDeadlineEndsTheWait() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            let deadline = ContinuousClock.now + .milliseconds(20)
            #expect(await outcome(of: registration, until: deadline) == .timedOut)
            #expect(ContinuousClock.now >= deadline)
            registration.deregister()
        }
    }

    @Test func aCancelledTaskStopsWaiting() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            let task = Task { await outcome(of: registration, until: later()) }
            try await loop.eventually { $0.waitingContinuations == 1 }
            task.cancel()
            #expect(await task.value == .cancelled)
            registration.deregister()
        }
    }
}

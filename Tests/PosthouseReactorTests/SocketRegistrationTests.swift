// SPDX-License-Identifier: Apache-2.0
import Glibc
import PosthouseReactor
import Testing

@Suite(.timeLimit(.minutes(20)))
struct SocketRegistrationTests {
    // MARK: Events

    @Test func aWaitEndsWhenTheSocketBecomesReadable() async throws {
        try await withRegistration { pair, registration in
            async let waiting = outcome(of: registration)
            try await registration.loop.eventually { $0.waitingContinuations == 1 }
            pair.ping()
            #expect(await waiting == nil)
            #expect(pair.take() == 1)
        }
    }

    @Test func anEventBeforeTheWaitIsNotLost() async throws {
        try await withRegistration { pair, registration in
            pair.ping()
            try await eventually { registration.hasPendingEvent }
            #expect(await outcome(of: registration) == nil)
        }
    }

    @Test func dataThatWasThereBeforeTheRegistrationIsReported() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            pair.ping()
            let registration = try loop.register(pair.near)
            #expect(await outcome(of: registration) == nil)
            registration.deregister()
        }
    }

    @Test func aTakenEventIsNotReportedAgain() async throws {
        try await withRegistration { pair, registration in
            pair.ping()
            #expect(await outcome(of: registration) == nil)
            #expect(!registration.hasPendingEvent)
            #expect(await outcome(of: registration, until: .now) == .timedOut)
            pair.ping()
            try await eventually { registration.hasPendingEvent }
            #expect(registration.takePendingEvents().contains(.read))
            #expect(registration.takePendingEvents().isEmpty)
            #expect(await outcome(of: registration, until: .now) == .timedOut)
        }
    }

    @Test func aWaitForWritingEndsWhenThePeerHasRead() async throws {
        try await withRegistration { pair, registration in
            #expect(await outcome(of: registration, for: .write) == nil)
            fill(pair.near)
            // What was recorded before the socket was full may end one wait; then it has to be waited for.
            if await outcome(of: registration, for: .write, until: .now) == nil { fill(pair.near) }
            async let waiting = outcome(of: registration, for: .write)
            try await registration.loop.eventually { $0.waitingContinuations == 1 }
            drain(pair.far)
            #expect(await waiting == nil)
            #expect(send(1, to: pair.near))
        }
    }

    @Test func aWriterThatWaitsForBothIsWokenByData() async throws {
        try await withRegistration { pair, registration in
            fill(pair.near)
            while await outcome(of: registration, for: .write, until: .now) == nil { fill(pair.near) }
            async let waiting = outcome(of: registration, for: [.read, .write])
            try await registration.loop.eventually { $0.waitingContinuations == 1 }
            pair.ping(7)
            #expect(await waiting == nil)
            #expect(pair.take() == 7)
        }
    }

    @Test func afterAWaitForWritingTheKernelIsNotAskedForItAnyMore() async throws {
        let called = Counter()
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near) { _ in called.increment() }
            #expect(await outcome(of: registration, for: .write) == nil)
            #expect(await outcome(of: registration, for: .read, until: .now) == .timedOut)
            _ = registration.takePendingEvents()
            let before = called.value
            // On a Unix socket each of these makes the near end "writable" anew.
            for _ in 0..<100 {
                send(1, to: pair.near)
                drain(pair.far)
                await loop.turn()
            }
            #expect(called.value == before)
            #expect(await outcome(of: registration, for: .write) == nil)
            registration.deregister()
        }
    }

    @Test(arguments: [Readiness.read, .write, []])
    func aHangupEndsAnyWait(interest: Readiness) async throws {
        try await withRegistration { pair, registration in
            fill(pair.near)
            while await outcome(of: registration, for: interest, until: .now) == nil { fill(pair.near) }
            async let waiting = outcome(of: registration, for: interest)
            try await registration.loop.eventually { $0.waitingContinuations == 1 }
            shutdown(pair.far, Int32(SHUT_RDWR))
            #expect(await waiting == nil)
        }
    }

    @Test func aHangupIsToldToReaderAndWriter() async throws {
        try await withRegistration { pair, registration in
            shutdown(pair.far, Int32(SHUT_RDWR))
            #expect(await outcome(of: registration, for: .read) == nil)
            #expect(await outcome(of: registration, for: .write) == nil)
        }
    }

    // MARK: Ends without an event

    @Test func aDeadlineEndsTheWaitAndNotBefore() async throws {
        try await withRegistration { _, registration in
            let deadline = ContinuousClock.now + .milliseconds(20)
            #expect(await outcome(of: registration, until: deadline) == .timedOut)
            #expect(ContinuousClock.now >= deadline)
        }
    }

    @Test func aDeadlineInThePastStillFindsTheAnswer() async throws {
        try await withRegistration { pair, registration in
            for _ in 0..<100 {
                pair.ping()
                #expect(await outcome(of: registration, until: .now - .seconds(1)) == nil)
                drain(pair.near)
            }
            #expect(await outcome(of: registration, until: .now - .seconds(1)) == .timedOut)
        }
    }

    @Test func aCancelledTaskStopsWaiting() async throws {
        try await withRegistration { _, registration in
            let task = Task { await outcome(of: registration) }
            try await registration.loop.eventually { $0.waitingContinuations == 1 }
            task.cancel()
            #expect(await task.value == .cancelled)
            #expect(registration.loop.statistics.waitingContinuations == 0)
        }
    }

    @Test func aTaskCancelledBeforeTheWaitDoesNotWait() async throws {
        try await withRegistration { pair, registration in
            let task = Task {
                while !Task.isCancelled { await Task.yield() }
                return await outcome(of: registration)
            }
            task.cancel()
            #expect(await task.value == .cancelled)
            pair.ping()
            #expect(await outcome(of: registration) == nil)
        }
    }

    @Test func aCancelledTaskCanStillWaitIfItSaysSo() async throws {
        try await withRegistration { pair, registration in
            let task = Task {
                while !Task.isCancelled { await Task.yield() }
                do throws(SocketWaitError) {
                    try await registration.waitIgnoringCancellation(for: .read, until: later())
                    return SocketWaitError?.none
                } catch {
                    return error
                }
            }
            task.cancel()
            try await registration.loop.eventually { $0.waitingContinuations == 1 }
            pair.ping()
            #expect(await task.value == nil)
        }
    }

    @Test func anInterruptEndsTheWaitInProgress() async throws {
        try await withRegistration { pair, registration in
            async let waiting = outcome(of: registration)
            try await registration.loop.eventually { $0.waitingContinuations == 1 }
            registration.interrupt()
            #expect(await waiting == .interrupted)
            #expect(await outcome(of: registration, until: .now) == .timedOut)
        }
    }

    @Test func anInterruptBetweenWaitsEndsTheNextOneOnly() async throws {
        try await withRegistration { pair, registration in
            registration.interrupt()
            registration.interrupt()
            pair.ping()
            #expect(await outcome(of: registration) == .interrupted)
            #expect(await outcome(of: registration) == nil)
        }
    }

    @Test func aSecondWaiterIsRefusedAndTheFirstUndisturbed() async throws {
        try await withRegistration { pair, registration in
            async let first = outcome(of: registration)
            try await registration.loop.eventually { $0.waitingContinuations == 1 }
            #expect(await outcome(of: registration) == .alreadyWaiting)
            pair.ping()
            #expect(await first == nil)
        }
    }

    @Test func deregisteringEndsTheWaitAndAllLaterOnes() async throws {
        try await withRegistration { pair, registration in
            async let waiting = outcome(of: registration)
            try await registration.loop.eventually { $0.waitingContinuations == 1 }
            registration.deregister()
            #expect(await waiting == .deregistered)
            #expect(registration.loop.statistics.registrations == 0)
            pair.ping()
            #expect(await outcome(of: registration) == .deregistered)
            registration.deregister()
            registration.interrupt()
            #expect(!registration.hasPendingEvent)
        }
    }

    @Test func aDroppedRegistrationDeregistersItself() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            for _ in 0..<3 {
                _ = try loop.register(pair.near) { _ in }
                #expect(loop.statistics.registrations == 0)
            }
        }
    }

    // MARK: Refusals

    @Test func aClosedOrUnpollableDescriptorIsRefusedWithATypedError() async throws {
        try await withLoop { loop in
            #expect { _ = try loop.register(-1) } throws: { ($0 as? ReactorError)?.code == .invalidSocket }
            let file = open("/", O_RDONLY | O_DIRECTORY)
            defer { close(file) }
            #expect { _ = try loop.register(file) } throws: { ($0 as? ReactorError)?.code == .invalidSocket }
        }
    }

    @Test func aSocketHasOneRegistrationPerLoop() async throws {
        try await withRegistration { pair, registration in
            #expect {
                _ = try registration.loop.register(pair.near)
            } throws: {
                ($0 as? ReactorError)?.code == .alreadyRegistered
            }
            pair.ping()
            #expect(await outcome(of: registration) == nil)
        }
    }

    @Test func aWaitForASocketThatWasClosedUnderItEnds() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let own = dup(pair.near)
            let registration = try loop.register(own)
            close(own)
            // The first wait for writing has to ask the kernel, and learns that there is nothing to wait for.
            #expect(await outcome(of: registration, for: .write) == nil)
            registration.deregister()
        }
    }

    // MARK: The idle callback

    @Test func withoutAWaiterTheCallbackRunsOnTheLoopAndTheEventStaysRecorded() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let called = Counter()
            let registration = try loop.register(pair.near) { [unowned loop] readiness in
                if readiness.contains(.read), EventLoop.current === loop { called.increment() }
            }
            pair.ping()
            try await eventually { called.value == 1 }
            #expect(registration.hasPendingEvent)
            #expect(await outcome(of: registration) == nil)
            registration.deregister()
        }
    }

    @Test func whileATaskWaitsTheCallbackDoesNotRun() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let called = Counter()
            let registration = try loop.register(pair.near) { _ in called.increment() }
            for _ in 0..<100 {
                async let waiting = outcome(of: registration)
                try await loop.eventually { $0.waitingContinuations == 1 }
                pair.ping()
                #expect(await waiting == nil)
                drain(pair.near)
            }
            #expect(called.value == 0)
            registration.deregister()
        }
    }

    @Test func deregisteringWaitsForTheCallbackThatRuns() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            for _ in 0..<50 {
                let started = Flag()
                let finished = Flag()
                let registration = try loop.register(pair.near) { _ in
                    started.set()
                    usleep(200)
                    finished.set()
                }
                pair.ping()
                try await eventually { started.isSet }
                registration.deregister()
                #expect(finished.isSet)
                drain(pair.near)
            }
        }
    }

    @Test func theCallbackMayDeregisterItsOwnRegistration() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let box = Box<SocketRegistration>()
            let registration = try loop.register(pair.near) { _ in box.value?.deregister() }
            box.value = registration
            pair.ping()
            try await loop.eventually { $0.registrations == 0 }
            box.value = nil
        }
    }

    @Test func aDeregisteredSocketLetsGoOfItsCallback() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            weak var held: Counter?
            let registration: SocketRegistration
            do {
                let counter = Counter()
                held = counter
                registration = try loop.register(pair.near) { _ in counter.increment() }
            }
            #expect(held != nil)
            registration.deregister()
            #expect(held == nil)
        }
    }
}

/// Runs a test with one registered socket.
private func withRegistration(
    _ body: nonisolated(nonsending) (SocketPair, SocketRegistration) async throws -> Void
) async throws {
    try await withLoop { loop in
        let pair = try SocketPair()
        let registration = try loop.register(pair.near)
        try await body(pair, registration)
        registration.deregister()
    }
}

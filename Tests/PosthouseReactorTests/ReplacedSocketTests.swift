// SPDX-License-Identifier: Apache-2.0
import Glibc
import PosthouseReactor
import Testing

/// libpq closes its socket and opens another one while it connects, and the number may be the same.
@Suite(.timeLimit(.minutes(20)))
struct ReplacedSocketTests {
    @Test func aReplacedSocketOfAnotherNumberIsWatched() async throws {
        try await withLoop { loop in
            let old = try SocketPair()
            let new = try SocketPair()
            let registration = try loop.register(old.near)
            old.ping()
            try await eventually { registration.hasPendingEvent }
            try registration.replace(with: new.near)
            #expect(!registration.hasPendingEvent)
            old.ping()
            await loop.turn()
            #expect(!registration.hasPendingEvent)
            new.ping()
            #expect(await outcome(of: registration) == nil)
            registration.deregister()
        }
    }

    @Test func aReplacedSocketOfTheSameNumberIsWatched() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            for _ in 0..<100 {
                let new = try SocketPair()
                // The kernel forgets the old socket here, and the number lives on.
                try #require(dup2(new.near, pair.near) == pair.near)
                try registration.replace(with: pair.near)
                #expect(!registration.hasPendingEvent)
                new.ping()
                #expect(await outcome(of: registration) == nil)
            }
            registration.deregister()
        }
    }

    @Test func aSocketReplacedByItselfReportsWhatItHolds() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            pair.ping()
            #expect(await outcome(of: registration) == nil)
            try registration.replace(with: pair.near)
            #expect(await outcome(of: registration) == nil)
            registration.deregister()
        }
    }

    @Test func aWaitingTaskWaitsOnForTheNewSocket() async throws {
        try await withLoop { loop in
            let old = try SocketPair()
            let new = try SocketPair()
            let registration = try loop.register(old.near)
            for interest: Readiness in [.read, .write] {
                fill(new.near)
                while await outcome(of: registration, for: interest, until: .now) == nil { fill(old.near) }
                async let waiting = outcome(of: registration, for: interest)
                try await loop.eventually { $0.waitingContinuations == 1 }
                try registration.replace(with: new.near)
                #expect(loop.statistics.waitingContinuations == 1)
                if interest == .read { new.ping() } else { drain(new.far) }
                #expect(await waiting == nil)
                drain(new.near)
                try registration.replace(with: old.near)
            }
            registration.deregister()
        }
    }

    /// A child process between fork and exec holds the old socket open, so that closing it does not end its watch.
    @Test func aSocketThatOutlivesItsNumberIsNotHeardAnyMore() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            let held = dup(pair.near)
            defer { close(held) }
            let new = try SocketPair()
            try #require(dup2(new.near, pair.near) == pair.near)
            try registration.replace(with: pair.near)
            pair.ping()
            await loop.turn()
            #expect(!registration.hasPendingEvent)
            registration.deregister()
            // The watch in the kernel is still there and its token reaches the loop; by now the place is another's.
            let other = try SocketPair()
            let next = try loop.register(other.near)
            pair.ping()
            await loop.turn()
            #expect(!next.hasPendingEvent)
            next.deregister()
        }
    }

    @Test func aNumberTakenOverByAnotherConnectionStaysWatched() async throws {
        try await withLoop { loop in
            let first = try SocketPair()
            let registration = try loop.register(first.near)
            // Another connection gets the number that the first one's library has closed.
            let second = try SocketPair()
            try #require(dup2(second.near, first.near) == first.near)
            let heir = try loop.register(first.near)
            // Now the first one notices; that must not cost the other its watch.
            let third = try SocketPair()
            try registration.replace(with: third.near)
            second.ping()
            #expect(await outcome(of: heir) == nil)
            third.ping()
            #expect(await outcome(of: registration) == nil)
            registration.deregister()
            drain(first.near)
            second.ping()
            #expect(await outcome(of: heir) == nil)
            heir.deregister()
            #expect(loop.statistics.registrations == 0)
        }
    }

    /// Both sockets are in the same batch of events; whoever is first makes the other's event stale.
    @Test(arguments: [false, true])
    func anEventThatBecameStaleInItsBatchIsNotDelivered(byReplacing: Bool) async throws {
        for _ in 0..<50 {
            try await withLoop { loop in
                let pairs = [try SocketPair(), try SocketPair()]
                let spare = try SocketPair()
                let called = Counter()
                let other = [Box<SocketRegistration>(), Box<SocketRegistration>()]
                var registrations: [SocketRegistration] = []
                for index in 0...1 {
                    let registration = try loop.register(pairs[index].near) { _ in
                        called.increment()
                        if byReplacing {
                            try? other[index].value?.replace(with: spare.near)
                        } else {
                            other[index].value?.deregister()
                        }
                    }
                    registrations.append(registration)
                }
                other[0].value = registrations[1]
                other[1].value = registrations[0]
                await loop.run { for pair in pairs { pair.ping() } }
                await loop.turn()
                #expect(called.value == 1)
                #expect(registrations.count { $0.hasPendingEvent } == 1)
                for registration in registrations { registration.deregister() }
                for box in other { box.value = nil }
            }
        }
    }

    @Test func aReplacementThatFailsGivesTheRegistrationUp() async throws {
        try await withLoop { loop in
            let pair = try SocketPair()
            let registration = try loop.register(pair.near)
            async let waiting = outcome(of: registration)
            try await loop.eventually { $0.waitingContinuations == 1 }
            #expect { try registration.replace(with: -1) } throws: { ($0 as? ReactorError)?.code == .invalidSocket }
            #expect(await waiting == .deregistered)
            #expect { try registration.replace(with: pair.near) } throws: { ($0 as? ReactorError)?.code == .shutDown }
        }
    }
}

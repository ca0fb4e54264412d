// SPDX-License-Identifier: Apache-2.0

import Foundation
import PosthouseBase
import Synchronization
import Testing

@testable import PosthousePool

/// Users of everything that a pool can do, at once, on real threads and the real clock, against a server that does whatever
/// it likes.
///
/// `POSTHOUSE_TEST_SOAK_SECONDS=n` lets it go on for n seconds (default 2); `POSTHOUSE_TEST_SEED=n` chooses what is random,
/// but for the threads.
@Suite(.timeLimit(.minutes(60)))
struct SoakTests {
    private static let seconds: Double =
        ProcessInfo.processInfo.environment["POSTHOUSE_TEST_SOAK_SECONDS"].flatMap { Double($0) } ?? 2

    /// A connection that notices if two have it.
    private final class Horse: Sendable {
        let riders = Atomic<Int>(0)
        let isClosed = Atomic<Bool>(false)
        let slot: PoolSlot

        init(_ slot: PoolSlot) { self.slot = slot }
    }

    private final class Dice: Sendable {
        private let random: Guarded<SplitMix64>

        init(_ seed: UInt64) { random = Guarded(SplitMix64(seed: seed)) }

        func roll(_ sides: Int) -> Int { random.withLock { Int.random(in: 0..<sides, using: &$0) } }
        /// One time in so many.
        func seldom(_ sides: Int) -> Bool { roll(sides) == 0 }
    }

    private final class Stud: ConnectionStrategy, Sendable {
        let dice: Dice
        let live = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        let clashes = Atomic<Int>(0)
        let made = Atomic<Int>(0)
        let horses = Guarded<[Horse]>([])

        init(_ dice: Dice) { self.dice = dice }

        /// Nobody else has the horse meanwhile.
        nonisolated(nonsending) func ride(_ horse: Horse, _ body: nonisolated(nonsending) () async throws -> Void)
            async throws
        {
            mount(horse)
            defer { dismount(horse) }
            try await body()
        }

        func mount(_ horse: Horse) {
            if horse.riders.add(1, ordering: .sequentiallyConsistent).oldValue != 0 {
                clashes.add(1, ordering: .relaxed)
            }
        }

        func dismount(_ horse: Horse) { horse.riders.subtract(1, ordering: .sequentiallyConsistent) }

        private func mood() async throws {
            switch dice.roll(40) {
            case 0: throw ScriptedError(what: "mood")
            case 1: try await Task.sleep(for: .seconds(1000))
            case 2...4: try await Task.sleep(for: .microseconds(dice.roll(2000)))
            default: await Task.yield()
            }
        }

        func create(slot: PoolSlot) async throws -> Horse {
            most.max(live.add(1, ordering: .sequentiallyConsistent).newValue, ordering: .relaxed)
            do {
                try await mood()
            } catch {
                live.subtract(1, ordering: .sequentiallyConsistent)
                throw error
            }
            made.add(1, ordering: .relaxed)
            let horse = Horse(slot)
            horses.withLock { $0 = $0.suffix(20) + [horse] }
            return horse
        }

        func isClosed(_ horse: Horse) throws -> Bool {
            mount(horse)
            defer { dismount(horse) }
            if dice.seldom(400) { horse.isClosed.store(true, ordering: .relaxed) }
            return horse.isClosed.load(ordering: .relaxed)
        }

        func validate(_ horse: Horse) async throws { try await ride(horse) { try await mood() } }
        var recycles: Bool { true }
        func needsRecycling(_ horse: Horse) -> Bool { dice.seldom(4) }
        func recycle(_ horse: Horse) async throws { try await ride(horse) { try await mood() } }

        func close(_ horse: Horse) throws {
            mount(horse)
            live.subtract(1, ordering: .sequentiallyConsistent)
            if dice.seldom(20) { throw ScriptedError(what: "close") }
        }

        var hooks: PoolHooks<Horse> {
            PoolHooks(
                created: { horse in try await self.ride(horse) { if self.dice.seldom(50) { try await self.mood() } } },
                beforeHandOut: { horse in
                    try await self.ride(horse) { if self.dice.seldom(50) { try await self.mood() } }
                    return self.dice.seldom(100) ? .replace : .use
                },
                returned: { horse in try await self.ride(horse) { if self.dice.seldom(50) { try await self.mood() } } }
            )
        }
    }

    private final class Outcomes: Sendable {
        private let counts = Guarded<[String: Int]>([:])

        var all: [String: Int] { counts.withLock { $0 } }
        func note(_ outcome: String) { counts.withLock { $0[outcome, default: 0] += 1 } }
    }

    private struct Ranch: Sendable {
        let dice: Dice
        let studs: [Stud]
        let observer = RecordingObserver(wantsUses: true)
        let group: PoolGroup<Horse>
        let members: [MemberID]
        static let hardLimit = 8
        /// How requests ended.
        let outcomes = Outcomes()

        init(seed: UInt64) throws {
            dice = Dice(seed)
            let queue = PoolGroupConfiguration(
                acquireTimeout: .milliseconds(500),
                maximumWaiters: 60,
                failFastAfter: .milliseconds(100),
                overload: OverloadControl(target: .milliseconds(20), interval: .milliseconds(200)),
                seed: seed
            )
            group = PoolGroup(configuration: queue, observer: observer)
            var members: [MemberID] = []
            var studs: [Stud] = []
            for index in 0..<2 {
                let stud = Stud(dice)
                let hooks = index == 0 ? stud.hooks : PoolHooks()
                members.append(
                    try group.addMember(
                        label: "\(index)",
                        configuration: Self.configuration(dice),
                        strategy: stud,
                        hooks: hooks
                    )
                )
                studs.append(stud)
                group.setServices(.all, for: members[index])
            }
            self.members = members
            self.studs = studs
        }

        static func configuration(_ dice: Dice) -> PoolConfiguration {
            let size = 2 + dice.roll(4)
            return PoolConfiguration(
                maximumSize: size,
                burstLimit: dice.seldom(2) ? size + dice.roll(hardLimit - size + 1) : nil,
                connectTimeout: .milliseconds(40),
                backoffBase: .milliseconds(1),
                backoffCap: .milliseconds(8),
                maximumConcurrentConnects: 1 + dice.roll(5),
                minimumSize: dice.roll(3),
                minimumIdle: dice.roll(3),
                maximumConnectRate: dice.seldom(2) ? 200 : nil,
                idleTimeout: .milliseconds(20),
                maximumLifetime: .milliseconds(100),
                lifetimeJitter: 0.5,
                maximumUses: dice.seldom(2) ? 50 : nil,
                keepAliveInterval: .milliseconds(8),
                validation: dice.seldom(3) ? .always : .ifIdle(longerThan: .milliseconds(6)),
                workTimeout: .milliseconds(15),
                leakDetectionThreshold: .milliseconds(30)
            )
        }

        func ride(_ horse: Horse) async throws {
            try await studs[0].ride(horse) {
                if dice.seldom(20) { try await Task.sleep(for: .microseconds(dice.roll(3000))) }
            }
        }

        /// One thing that a user does.
        func use() async throws {
            var request = AcquireRequest()
            if dice.seldom(3) { request.deadline = .now + .microseconds(dice.roll(20_000)) }
            if dice.seldom(10) { request.connectFailurePolicy = .failRequester }
            if dice.seldom(5) { request.member = members[dice.roll(2)] }
            switch dice.roll(20) {
            case 0...8: try await group.withConnection(request) { try await ride($0) }
            case 9...12:
                guard let lease = try group.tryAcquire(request) else { return }
                try await ride(lease.connection)
            case 13, 14:
                let batch = try await group.acquire(count: 1 + dice.roll(3), request)
                for horse in batch.connections { try await ride(horse) }
                try batch.release()
            case 15:
                let lease = try await group.acquire(request)
                let stud = studs[lease.member == members[0] ? 0 : 1]
                let horse = lease.connection
                // Ours from here on: it does not count for the pool's limits.
                stud.live.subtract(1, ordering: .sequentiallyConsistent)
                _ = lease.detach()
                try await ride(horse)
            case 16:
                let lease = try await group.acquire(request)
                // A leak, for a while.
                if dice.seldom(20) { try await Task.sleep(for: .milliseconds(60)) }
                try lease.release()
            default:
                let task = Task { try await group.withConnection(request) { try await ride($0) } }
                for _ in 0..<dice.roll(4) { await Task.yield() }
                task.cancel()
                try await task.value
            }
        }

        /// On a machine that is busy with other tests it takes longer until enough has happened.
        func goesOn(until end: ContinuousClock.Instant) -> Bool {
            ContinuousClock.now < end || outcomes.all["served", default: 0] < 200
        }

        func useOnce() async {
            let outcome: String
            do {
                try await use()
                outcome = "served"
            } catch {
                outcome = (error as? PoolError)?.code.description ?? "\(type(of: error))"
            }
            outcomes.note(outcome)
        }

        /// One thing that an operator does.
        func meddle() async throws {
            let index = dice.roll(2)
            switch dice.roll(8) {
            case 0: group.expire(members[index])
            case 1:
                group.fence(members[index])
                await Task.yield()
                group.setServices(.all, for: members[index])
            case 2: try group.resize(members[index], maximumSize: 1 + dice.roll(4), burstLimit: 4 + dice.roll(4))
            case 3: try group.reconfigure(members[index], Self.configuration(dice))
            case 4:
                for horse in studs[index].horses.withLock({ $0 }) {
                    horse.slot.withIdleClaim { dice.seldom(3) ? .evict : .keep }
                }
            case 5:
                group.setServices([], for: members[index])
                await Task.yield()
                group.setServices(.all, for: members[index])
            case 6: try await group.warmUp(deadline: .now + .milliseconds(5))
            default: _ = group.snapshot()
            }
            try await Task.sleep(for: .microseconds(dice.roll(4000)))
        }
    }

    @Test func whateverManyUsersDoAtOnceNothingIsLostOrShared() async throws {
        let seed = Seeds.fromEnvironment(default: 1)[0]
        let ranch = try Ranch(seed: seed)
        let end = ContinuousClock.now + .seconds(Self.seconds)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<16 {
                group.addTask { while ranch.goesOn(until: end) { await ranch.useOnce() } }
            }
            for _ in 0..<2 {
                group.addTask { while ranch.goesOn(until: end) { try? await ranch.meddle() } }
            }
        }
        for member in ranch.members { ranch.group.setServices(.all, for: member) }
        try await eventually("POSTHOUSE_TEST_SEED=\(seed): all come to rest") {
            let snapshot = ranch.group.snapshot()
            return snapshot.waiting == 0 && snapshot.members.allSatisfy { $0.leased == 0 }
        }
        #expect(ranch.group.core.violations == [])
        for stud in ranch.studs {
            #expect(stud.clashes.load(ordering: .relaxed) == 0, "POSTHOUSE_TEST_SEED=\(seed)")
            #expect(stud.most.load(ordering: .relaxed) <= Ranch.hardLimit)
            #expect(stud.made.load(ordering: .relaxed) > 0)
        }
        #expect(!ranch.observer.uses.isEmpty, "\(ranch.outcomes.all)")
        #expect(ranch.observer.uses.allSatisfy { $0 < .seconds(600) }, "a use that began before the pool did")
        #expect(await ranch.group.close(deadline: .now + .seconds(300)) == 0)
        try await eventually("POSTHOUSE_TEST_SEED=\(seed): no socket is left") {
            ranch.studs.allSatisfy { $0.live.load(ordering: .relaxed) == 0 }
        }
    }
}

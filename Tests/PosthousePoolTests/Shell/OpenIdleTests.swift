// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Synchronization
import Testing

@testable import PosthousePool

/// Connections that lie open, taken and given by many threads at once.
@Suite(.timeLimit(.minutes(20)))
struct OpenIdleTests {
    /// A connection that notices if two have it.
    private final class Horse: Sendable {
        let riders = Atomic<Int>(0)
        let isClosed = Atomic<Bool>(false)
    }

    private final class Stud: ConnectionStrategy, Sendable {
        let live = Atomic<Int>(0)
        let most = Atomic<Int>(0)
        let made = Atomic<Int>(0)

        func create() async throws -> Horse {
            made.add(1, ordering: .relaxed)
            most.max(live.add(1, ordering: .relaxed).newValue, ordering: .relaxed)
            return Horse()
        }

        func isClosed(_ horse: Horse) -> Bool { horse.isClosed.load(ordering: .relaxed) }

        func close(_ horse: Horse) {
            #expect(horse.riders.load(ordering: .sequentiallyConsistent) == 0)
            live.subtract(1, ordering: .relaxed)
        }
    }

    private struct Group {
        let stud = Stud()
        let group = PoolGroup<Horse>(configuration: PoolGroupConfiguration(acquireTimeout: .seconds(1000)))
        let members: [MemberID]

        init(sizes: [Int]) throws {
            var members: [MemberID] = []
            for (index, size) in sizes.enumerated() {
                let configuration = PoolConfiguration(maximumSize: size)
                members.append(try group.addMember(label: "\(index)", configuration: configuration, strategy: stud))
                group.setServices(.all, for: members[index])
            }
            self.members = members
        }

        func ride(_ times: Int) async throws {
            for _ in 0..<times {
                try await group.withConnection { horse in
                    #expect(horse.riders.add(1, ordering: .sequentiallyConsistent).newValue == 1)
                    #expect(horse.riders.subtract(1, ordering: .sequentiallyConsistent).newValue == 0)
                }
            }
        }

        func isServedWithoutTheLock() throws -> Bool {
            // Held by this thread: whoever needed it would wait for ever.
            try group.core.state.withLock { _ in
                guard let lease = try group.tryAcquire() else { return false }
                try lease.release()
                return true
            }
        }

        func lieOpen() -> [Bool] { group.core.state.withLock { $0.members.map(\.liesOpen) } }

        func expectAtRest() async throws {
            try await eventually("all is at rest") {
                let members = group.snapshot().members
                return members.allSatisfy { $0.leased == 0 && $0.closing == 0 && $0.connecting == 0 }
                    && members.map(\.size).reduce(0, +) == stud.live.load(ordering: .relaxed)
            }
            #expect(group.core.violations == [])
            #expect(group.snapshot().members.allSatisfy { $0.available == $0.size })
            #expect(group.snapshot().waiting == 0)
        }
    }

    @Test func aReturnThatNobodySawEndsTheRushOfConnects() async throws {
        let test = try TestPool(50)
        let holders = (0..<6).map { _ in test.holder() }
        for holder in holders { _ = try await holder.held() }
        let ramp = { test.core.withMachine { $0.machine.members[0].ramp } }
        #expect(ramp() > Member.rampStart)
        try await holders[0].end()
        // Given back and taken again between two steps: the words are as they were.
        let lease = try await test.pool.acquire()
        #expect(ramp() == Member.rampStart)
        try lease.release()
        for holder in holders.dropFirst() { try await holder.end() }
    }

    @Test(arguments: [[4], [1], [100], [2, 2, 2]])
    func nobodySharesAConnectionWhileAllElseChanges(sizes: [Int]) async throws {
        let test = try Group(sizes: sizes)
        let meddler = Task { try await Self.meddle(with: test, sizes) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { try await test.ride(3000) } }
            try await group.waitForAll()
        }
        meddler.cancel()
        try await meddler.value
        try await test.expectAtRest()
        #expect(await test.group.close() == 0)
        #expect(test.stud.live.load(ordering: .relaxed) == 0)
    }

    /// All that can be done to a group while it is used, in random order, until the task is cancelled.
    private static func meddle(with test: Group, _ sizes: [Int]) async throws {
        var random = SplitMix64(seed: Seeds.fromEnvironment(default: 1)[0])
        while !Task.isCancelled {
            let index = Int.random(in: test.members.indices, using: &random)
            let member = test.members[index]
            switch Int.random(in: 0..<6, using: &random) {
            case 0: test.group.expire(member)
            case 1: try test.group.resize(member, maximumSize: Int.random(in: 1...sizes[index], using: &random))
            case 2: try test.group.resize(member, maximumSize: sizes[index] + 60)
            case 3:
                test.group.fence(member)
                test.group.setServices(.all, for: member)
            case 4: _ = test.group.snapshot()
            // May be cancelled.
            default: try? await test.ride(1)
            }
            await Task.yield()
        }
    }

    @Test func whatWasUsedLiesOpenAndIsTakenWithoutTheLock() async throws {
        let test = try Group(sizes: [2])
        try await test.ride(2)
        #expect(test.lieOpen() == [true])
        #expect(try test.isServedWithoutTheLock())
        #expect(test.group.activity().map { [UInt64($0.leased), $0.endedLeases] } == [[0, 3]])
    }

    @Test func aWaitingRequestClosesTheOpenWayAndItsEndOpensIt() async throws {
        let test = try TestPool(1)
        try await test.warmUp(1)
        let first = test.holder()
        try await eventually("it holds") { first.isHolding }
        let second = try await test.waiter()
        #expect(!(try test.takesAtOnce()))
        try await first.end()
        try await eventually("the waiter has it") { second.isHolding }
        // No barging: it went to the waiter, and nobody else could have taken it.
        #expect(test.strategy.counts.live == 1)
        try await second.end()
        #expect(try test.takesAtOnce())
        try await test.expectAtRest()
    }

    @Test func moreSlotsThanThereWasRoomForAtFirst() async throws {
        let test = try Group(sizes: [250])
        var holders: [LeaseHolder<Horse>] = []
        func fill(to count: Int) async throws {
            while holders.count < count { holders.append(LeaseHolder { try await test.group.acquire() }) }
            try await eventually("all have one") { holders.allSatisfy { $0.isHolding } }
        }
        // Two words, more than two, and more than the configuration named.
        for (size, count) in [(250, 90), (250, 250), (600, 600)] {
            try test.group.resize(test.members[0], maximumSize: size)
            try await fill(to: count)
            #expect(try test.group.tryAcquire() == nil)
            for holder in holders { try await holder.end() }
            holders = []
            try await test.ride(10)
            #expect(test.lieOpen() == [true])
            try await test.expectAtRest()
            #expect(test.stud.live.load(ordering: .relaxed) == count)
        }
    }

    @Test func aMemberThatIsOutDoesNotCloseTheWayToTheOthers() async throws {
        let test = try Group(sizes: [1, 1])
        test.group.setServices([], for: test.members[1])
        try await test.ride(2)
        #expect(try test.isServedWithoutTheLock())
    }

    @Test func aLeaseFromBeforeAnExpiryDoesNotCloseTheWay() async throws {
        let test = try Group(sizes: [2])
        let old = LeaseHolder { try await test.group.acquire() }
        try await eventually("it holds") { old.isHolding }
        test.group.expire(test.members[0])
        try await test.ride(2)
        #expect(try test.isServedWithoutTheLock())
        try await old.end()
        // It came back by way of the lock, and was closed.
        try await eventually("it is gone") { test.stud.live.load(ordering: .relaxed) == 1 }
        try await test.expectAtRest()
    }

    @Test func limitsWithoutEndTakeNoMemory() throws {
        let pool = PoolGroup<Horse>()
        let configuration = PoolConfiguration(maximumSize: .max, burstLimit: .max)
        let member = try pool.addMember(label: "endless", configuration: configuration, strategy: Stud())
        pool.setServices(.all, for: member)
        #expect(try pool.tryAcquire() == nil)
    }

    @Test func manyConnectionsThatOpenAtOnceFindRoom() async throws {
        let test = try TestPool(10) {
            $0.burstLimit = 200
            $0.maximumConcurrentConnects = 100
        }
        test.strategy.always(.slow)
        let holders = (0..<100).map { _ in test.holder() }
        try await eventually("all connects are under way") { test.strategy.counts.opening == 100 }
        for _ in 0..<100 { test.strategy.open() }
        try await eventually("all hold one") { holders.allSatisfy(\.isHolding) }
        for holder in holders { try await holder.end() }
        try await eventually("the burst is over") { test.status.size == 10 }
        #expect(try test.takesAtOnce())
        try await test.expectAtRest()
    }
}

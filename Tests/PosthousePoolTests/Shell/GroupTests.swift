// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

@Suite(.timeLimit(.minutes(20)))
struct GroupTests {
    private func writes() -> AcquireRequest { AcquireRequest(wants: .writes) }

    @Test func waitersAreServedAtOnceByTheIdleConnectionsOfAMemberThatTakesOver() async throws {
        let test = try TestGroup(members: 2)
        try await test.warmUp(1, 2)
        test.group.setServices(.writes, for: test.members[0])
        test.group.setServices(.reads, for: test.members[1])
        test.strategies[0].always(.slow)
        let waiters = [
            try await test.waiter(writes()), try await test.waiter(writes()), try await test.waiter(writes()),
        ]
        let connects = test.strategies[1].counts.creates
        // The failover.
        test.group.fence(test.members[0])
        test.group.setServices(.writes, for: test.members[1])
        for waiter in waiters[..<2] {
            #expect(try await waiter.held().slot.member == test.members[1])
        }
        #expect(!waiters[2].isHolding)
        #expect(test.strategies[1].counts.creates == connects)
        try await waiters[0].end()
        _ = try await waiters[2].held()
        for waiter in waiters[1...] { try await waiter.end() }
        // What the old one was opening is closed when it arrives.
        for _ in 0..<test.strategies[0].counts.creates {
            try await eventually { test.strategies[0].counts.opening > 0 }
            test.strategies[0].open()
        }
        try await test.expectAtRest()
        #expect(test.status(0).size == 0)
    }

    @Test func aRequestWaitsUntilSomeMemberServesIt() async throws {
        let test = try TestGroup(members: 1, serving: .reads)
        let writer = try await test.waiter(writes())
        let reader = test.holder(AcquireRequest(wants: .reads))
        _ = try await reader.held()
        #expect(!writer.isHolding)
        test.group.setServices(.all, for: test.members[0])
        _ = try await writer.held()
        try await reader.end()
        try await writer.end()
        try await test.expectAtRest()
    }

    @Test func theFallbackServesWhileNobodyServesWhatIsWanted() async throws {
        let test = try TestGroup(members: 2)
        test.group.setServices(.writes, for: test.members[0])
        test.group.setServices(.reads, for: test.members[1])
        let request = AcquireRequest(wants: .reads, fallback: .writes)
        let first = test.holder(request)
        #expect(try await first.held().slot.member == test.members[1])
        test.group.setServices([], for: test.members[1])
        let second = test.holder(request)
        #expect(try await second.held().slot.member == test.members[0])
        for holder in [first, second] { try await holder.end() }
        try await test.expectAtRest()
    }

    @Test func aNewMemberIsWarmedUpThoughAnotherHasIdleConnections() async throws {
        let test = try TestGroup(members: 2, maximumSize: 4)
        test.group.setServices([], for: test.members[1])
        try await test.warmUp(0, 2)
        let holder = test.holder(AcquireRequest(member: test.members[0]))
        _ = try await holder.held()
        test.group.setServices(.all, for: test.members[1])
        // Served from the idle one, and a connection is opened at the emptier member.
        let other = test.holder()
        #expect(try await other.held().slot.member == test.members[0])
        try await eventually { test.status(1).available == 1 }
        #expect(test.strategies[0].counts.creates == 2)
        for holder in [holder, other] { try await holder.end() }
        try await test.expectAtRest()
    }

    @Test func aFenceDeniesEveryPermitInterruptsTheWorkAndClosesWhatIsIdle() async throws {
        let test = try TestGroup(members: 1)
        try await test.warmUp(0, 2)
        let holder = test.holder()
        _ = try await holder.held()
        test.group.fence(test.members[0])
        let denied = #expect(throws: PermitDenied.self) { try holder.permit?.check() }
        #expect(denied?.code == .fenced)
        #expect(denied?.member == "db0")
        #expect(test.strategies[0].interrupted == [.fenced])
        #expect(test.status(0).available == 0)
        #expect(test.status(0).leased == 1)
        // Back in service: new leases are good, the old one stays denied.
        test.group.setServices(.all, for: test.members[0])
        let other = test.holder()
        _ = try await other.held()
        #expect(other.permit?.isValid == true)
        #expect(holder.permit?.isValid == false)
        try await holder.end()
        #expect(test.observer.events.contains(.closed(.fenced)))
        try await other.end()
        try await test.expectAtRest()
        #expect(test.status(0).available == 1)
    }

    @Test func aMemberOfAnotherGroupIsRefused() async throws {
        let test = try TestGroup(members: 1)
        let other = try TestGroup(members: 3)
        for member in other.members {
            let error = try #require(try await test.holder(AcquireRequest(member: member)).failure())
            #expect(error.code == .invalidConfiguration)
        }
        try await test.expectAtRest()
    }

    @Test func aConnectionGrantedBeforeAFenceIsNotHandedOutAfterIt() async throws {
        let test = try TestGroup(members: 2, maximumSize: 1)
        test.group.setServices([], for: test.members[1])
        let holder = test.holder()
        _ = try await holder.held()
        let executor = ManualExecutor()
        let waiter = executor.task { try await test.group.withConnection { $0.slot.member } }
        executor.run()
        try await holder.end()
        test.group.fence(test.members[0])
        test.group.setServices(.all, for: test.members[1])
        // It comes back to its place and waits for the other member.
        #expect(try await executor.value(of: waiter) == test.members[1])
        try await test.expectAtRest()
    }

    @Test func expiringReplacesConnectionsWithoutTouchingWork() async throws {
        let test = try TestGroup(members: 1)
        try await test.warmUp(0, 2)
        let holder = test.holder()
        _ = try await holder.held()
        test.group.expire(test.members[0])
        #expect(test.status(0).available == 0)
        #expect(holder.permit?.isValid == true)
        #expect(test.strategies[0].interrupted == [])
        try await holder.end()
        #expect(test.strategies[0].counts.closed == 2)
        #expect(test.observer.events.count { $0 == .closed(.expired) } == 2)
        try await test.expectAtRest()
    }

    @Test func aReaderIsServedThoughManyWritersWaitBeforeIt() async throws {
        let test = try TestGroup(members: 2)
        test.group.setServices([], for: test.members[0])
        test.group.setServices(.reads, for: test.members[1])
        var writers: [Holder] = []
        for _ in 0..<20 { writers.append(try await test.waiter(writes())) }
        let reader = test.holder(AcquireRequest(wants: .reads))
        _ = try await reader.held()
        #expect(test.status(1).waiting == 0)
        #expect(test.group.snapshot().waiting == 20)
        try await reader.end()
        test.group.terminate()
        for writer in writers { #expect(try await writer.failure()?.code == .closed) }
    }

    @Test func comingBackIntoServiceForgetsTheBackOff() async throws {
        let test = try TestGroup(members: 1)
        test.strategies[0].script(.error)
        let waiter = try await test.waiter()
        try await eventually { test.status(0).retryAt != nil }
        test.group.setServices([], for: test.members[0])
        test.group.setServices(.all, for: test.members[0])
        // Without the clock having moved.
        _ = try await waiter.held()
        try await waiter.end()
        try await test.expectAtRest()
    }

    @Test func theActivityCountsLeasesOfEachMember() async throws {
        let test = try TestGroup(members: 2)
        let holder = test.holder(AcquireRequest(member: test.members[1]))
        _ = try await holder.held()
        #expect(test.group.activity().map(\.member) == test.members)
        #expect(test.group.activity().map(\.leased) == [0, 1])
        try await holder.end()
        #expect(test.group.activity().map(\.leased) == [0, 0])
        #expect(test.group.activity().map(\.endedLeases) == [0, 1])
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// Preferences, filters and removal, through the group.
@Suite(.timeLimit(.minutes(20)))
struct FilteredGroupTests {
    private func preferring(_ member: MemberID) -> AcquireRequest {
        var request = AcquireRequest()
        request.prefers = member
        return request
    }

    private func passing(_ filter: MemberFilter) -> AcquireRequest {
        var request = AcquireRequest()
        request.filter = filter
        return request
    }

    @Test func aPreferredMemberServesWithoutTheLock() async throws {
        let test = try TestGroup(members: 3, maximumSize: 4)
        for index in 0..<3 { try await test.warmUp(index, 2) }
        for member in test.members {
            // The lock is held: only what lies open can serve.
            let got: MemberID? = try test.core.state.withLock { _ in
                guard let lease = try test.group.tryAcquire(preferring(member)) else { return nil }
                let got = lease.member
                try lease.release()
                return got
            }
            #expect(got == member)
        }
        try await test.expectAtRest()
    }

    @Test func aColdPreferredMemberIsOpenedWhileAnotherServes() async throws {
        let test = try TestGroup(members: 2, maximumSize: 4)
        try await test.warmUp(0, 1)
        let holder = test.holder(preferring(test.members[1]))
        #expect(try await holder.held().slot.member == test.members[0])
        try await eventually("one is opened ahead") { test.status(1).available == 1 }
        let other = test.holder(preferring(test.members[1]))
        #expect(try await other.held().slot.member == test.members[1])
        for holder in [holder, other] { try await holder.end() }
        try await test.expectAtRest()
    }

    @Test func aFilterThatChangesServesThoseThatWait() async throws {
        let test = try TestGroup(members: 2)
        try await test.warmUp(1, 1)
        let filter = test.group.addFilter([])
        let waiter = try await test.waiter(passing(filter))
        let patient = try await test.waiter(passing(filter))
        test.group.setFilter(filter, members: [test.members[1]])
        #expect(try await waiter.held().slot.member == test.members[1])
        #expect(try await patient.held().slot.member == test.members[1])
        for holder in [waiter, patient] { try await holder.end() }
        #expect(try test.group.tryAcquire(passing(filter)) != nil)
        test.group.removeFilter(filter)
        #expect(try test.group.tryAcquire(passing(filter)) == nil)
        try await test.expectAtRest()
    }

    @Test func whatBelongsToAnotherGroupIsRefused() async throws {
        let test = try TestGroup(members: 1)
        let other = try TestGroup(members: 1)
        let requests = [preferring(other.members[0]), passing(other.group.addFilter(other.members))]
        for request in requests {
            let error = await #expect(throws: PoolError.self) { try await test.group.acquire(request).release() }
            #expect(error?.code == .invalidConfiguration)
        }
    }

    @Test func aRemovedMemberIsShownUntilItsLastConnectionIsClosed() async throws {
        let test = try TestGroup(members: 2, maximumSize: 1)
        let alone = AcquireRequest(member: test.members[0])
        let holder = test.holder(alone)
        _ = try await holder.held()
        let waiter = try await test.waiter(alone)
        test.group.removeMember(test.members[0])
        #expect(try await waiter.failure()?.code == .unavailable)
        #expect(test.group.snapshot().members.map(\.isRemoved) == [true, false])
        #expect(test.group.activity().map(\.member) == test.members)
        #expect(holder.permit?.isValid == true)
        try await holder.end()
        try await eventually("it is gone") { test.group.snapshot().members.map(\.member) == [test.members[1]] }
        #expect(test.group.activity().map(\.member) == [test.members[1]])
        let error = await #expect(throws: PoolError.self) {
            try await test.group.acquire(alone).release()
        }
        #expect(error?.message.contains("db0 was removed") == true)
        let added = try test.group.addMember(
            label: "db2",
            configuration: PoolConfiguration(),
            strategy: test.strategies[0]
        )
        test.group.setServices(.all, for: added)
        #expect(added != test.members[0])
        let again = test.holder(AcquireRequest(member: added))
        #expect(try await again.held().slot.member == added)
        try await again.end()
    }
}

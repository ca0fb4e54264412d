// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// As `BothCoresTests`, with two members, preferences and a filter: a request gets a connection of the same member whether
/// idle connections lie open or not.
///
/// Each request prefers one of two members, so that chance decides nothing.
@Suite(.timeLimit(.minutes(20)))
struct BothGroupsTests {
    @Test func preferencesChooseTheSameMemberWithAndWithoutTheLock() async throws {
        for seed in Seeds.fromEnvironment(default: 100) {
            let open = try Subject(laysIdleOpen: true)
            let locked = try Subject(laysIdleOpen: false)
            var random = SplitMix64(seed: seed &* 13 &+ 5)
            for position in 0..<60 {
                let deed = Int.random(in: 0..<20, using: &random)
                let choice = Int.random(in: 0..<100, using: &random)
                let one = try await open.perform(deed, choice)
                let other = try await locked.perform(deed, choice)
                if one == other { continue }
                Issue.record(
                    "POSTHOUSE_TEST_SEED=\(seed): \(one) without the lock, \(other) with it, at \(position)"
                )
                return
            }
            try await open.end()
            try await locked.end()
        }
    }
}

private final class Subject {
    private let group: PoolGroup<FakeConnection>
    private let members: [MemberID]
    private let strategies = [ScriptedStrategy(), ScriptedStrategy()]
    private let filter: MemberFilter
    private var leases: [Box] = []

    private final class Box {
        private var lease: Lease<FakeConnection>?
        init(_ lease: consuming Lease<FakeConnection>) { self.lease = consume lease }
        func release() throws { try lease.take()?.release() }
    }

    init(laysIdleOpen: Bool) throws {
        var queue = PoolGroupConfiguration(connectFailurePolicy: .failRequester, seed: 1)
        queue.laysIdleOpen = laysIdleOpen
        queue.stripes = Stripes(processors: 1)
        group = PoolGroup(configuration: queue, time: ManualTime())
        var members: [MemberID] = []
        for (index, strategy) in strategies.enumerated() {
            let configuration = PoolConfiguration(maximumSize: 2 + index)
            members.append(try group.addMember(label: "\(index)", configuration: configuration, strategy: strategy))
            group.setServices(.all, for: members[index])
        }
        self.members = members
        filter = group.addFilter(members)
    }

    func perform(_ deed: Int, _ choice: Int) async throws -> String {
        var outcome = ""
        switch deed {
        case 0..<10:
            var request = AcquireRequest()
            request.prefers = members[choice % 2]
            if deed < 3 { request.filter = filter }
            // What would have to wait for somebody is not asked for.
            guard let lease = try await take(request) else { return "none" }
            outcome = "member \(members.firstIndex(of: lease.member) as Any)"
            leases.append(Box(lease))
        case 10..<17: if !leases.isEmpty { try leases.remove(at: choice % leases.count).release() }
        case 17: group.setFilter(filter, members: members.enumerated().filter { choice & 1 << $0.0 != 0 }.map(\.1))
        case 18: group.expire(members[choice % 2])
        default: group.setServices(choice % 4 < 2 ? [] : .all, for: members[choice % 2])
        }
        return "\(deed): \(outcome), \(try await look())"
    }

    private func take(_ request: AcquireRequest) async throws -> Lease<FakeConnection>? {
        if let lease = try group.tryAcquire(request) { return lease }
        let hasRoom = group.snapshot().members.contains { status in
            let passes = request.filter == nil || group.core.passes(status.member, filter)
            return !status.serves.isEmpty && passes && status.size < status.maximumSize
        }
        return hasRoom ? try await group.acquire(request) : nil
    }

    func end() async throws {
        for box in leases { try box.release() }
        leases = []
        _ = try await look()
        #expect(group.core.violations == [])
        await group.close()
    }

    private func look() async throws -> String {
        try await eventually("nothing is under way") {
            group.snapshot().members.allSatisfy { $0.connecting == 0 && $0.closing == 0 }
        }
        return "\(group.snapshot().members.map { "\($0.size) open, \($0.available) idle" })"
    }
}

extension PoolCore {
    fileprivate func passes(_ member: MemberID, _ filter: MemberFilter) -> Bool {
        state.withLock { $0.machine.filters[filter.id]?.members.contains(member.index) ?? false }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

extension ServiceClass {
    static let writes = ServiceClass(rawValue: 1)
    static let reads = ServiceClass(rawValue: 2)
}

/// A group of members "db0", "db1"... that all serve everything at first.
struct TestGroup: Sendable {
    let time = ManualTime()
    let observer = RecordingObserver()
    let strategies: [ScriptedStrategy]
    let members: [MemberID]
    let group: PoolGroup<FakeConnection>

    init(members count: Int, serving services: ServiceClass = .all, maximumSize: Int = 2) throws {
        var queue = PoolGroupConfiguration(seed: 1)
        queue.stripes = Stripes(processors: 1)
        group = PoolGroup(configuration: queue, time: time, observer: observer)
        strategies = (0..<count).map { _ in ScriptedStrategy() }
        var members: [MemberID] = []
        for (index, strategy) in strategies.enumerated() {
            let configuration = PoolConfiguration(maximumSize: maximumSize)
            members.append(try group.addMember(label: "db\(index)", configuration: configuration, strategy: strategy))
        }
        self.members = members
        for member in members { group.setServices(services, for: member) }
    }

    var core: PoolCore { group.core }
    func status(_ index: Int) -> PoolStatus { group.snapshot().members[index] }

    func holder(_ request: AcquireRequest = AcquireRequest()) -> Holder {
        Holder { try await self.group.acquire(request) }
    }

    func waiter(_ request: AcquireRequest = AcquireRequest()) async throws -> Holder {
        let before = group.snapshot().waiting
        let holder = holder(request)
        try await eventually("it waits") { group.snapshot().waiting > before }
        return holder
    }

    /// So many idle connections on one member.
    func warmUp(_ index: Int, _ count: Int) async throws {
        let holders = (0..<count).map { _ in holder(AcquireRequest(member: members[index])) }
        for holder in holders { _ = try await holder.held() }
        for holder in holders { try await holder.end() }
        try await eventually("all are idle") { status(index).available == count }
    }

    func expectAtRest(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await eventually("everything comes to rest", sourceLocation: sourceLocation) {
            let snapshot = group.snapshot()
            return snapshot.waiting == 0
                && snapshot.members.allSatisfy { $0.leased == 0 && $0.connecting == 0 && $0.closing == 0 }
        }
        for index in members.indices {
            try await eventually("sockets are the connections that the pool knows", sourceLocation: sourceLocation) {
                strategies[index].counts.live == status(index).size
            }
        }
        #expect(core.violations == [], sourceLocation: sourceLocation)
    }
}

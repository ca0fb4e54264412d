// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Synchronization

/// A connection to nothing.
final class StubConnection: Sendable {}

/// Opens stub connections, and counts them.
final class StubStrategy: ConnectionStrategy {
    private let connectTime: Duration
    private let count = Atomic(0)

    init(connectTime: Duration = .zero) {
        self.connectTime = connectTime
    }

    var opened: Int { count.load(ordering: .relaxed) }

    func create() async throws -> StubConnection {
        count.add(1, ordering: .relaxed)
        if connectTime > .zero { try await Task.sleep(for: connectTime) }
        return StubConnection()
    }

    func isClosed(_ connection: StubConnection) -> Bool { false }
    func close(_ connection: StubConnection) {}
}

typealias StubPool = ConnectionPool<StubStrategy>

extension StubPool {
    /// A pool whose connections are all open, and idle.
    static func full(_ size: Int) async throws -> StubPool {
        let pool = try StubPool(strategy: StubStrategy(), configuration: PoolConfiguration(maximumSize: size))
        _ = try await pool.leaseTogether(size)
        return pool
    }

    /// So many leases at the same time; they go back when the result is dropped.
    func leaseTogether(_ count: Int) async throws -> [HeldLease] {
        try await withThrowingTaskGroup(of: HeldLease.self) { group in
            for _ in 0..<count { group.addTask { HeldLease(try await self.acquire()) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
    }
}

/// A lease that can be put into an array.
final class HeldLease: Sendable {
    private let lease: Lease<StubConnection>

    init(_ lease: consuming Lease<StubConnection>) {
        self.lease = lease
    }
}

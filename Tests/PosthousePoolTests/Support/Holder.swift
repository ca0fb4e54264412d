// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// A holder of what the scripted strategy opens.
typealias Holder = LeaseHolder<FakeConnection>

/// A task that leases a connection and holds it until it is told to give it back.
final class LeaseHolder<Connection: Sendable>: Sendable {
    private enum Phase { case asking, holding(Connection, LeasePermit), failed(any Error), over }

    private struct Box {
        var phase = Phase.asking
        var task: Task<Void, any Error>?
    }

    private let box = Guarded(Box())
    private let ending = Promise<Void>()

    init(_ acquire: @escaping @Sendable () async throws -> Lease<Connection>) {
        let task = Task {
            do {
                let lease = try await acquire()
                let connection = lease.connection
                let permit = lease.permit
                box.withLock { $0.phase = .holding(connection, permit) }
                await ending.value()
                try lease.release()
                box.withLock { $0.phase = .over }
            } catch {
                box.withLock { $0.phase = .failed(error) }
                throw error
            }
        }
        box.withLock { $0.task = task }
    }

    var connection: Connection? {
        box.withLock { if case .holding(let connection, _) = $0.phase { connection } else { nil } }
    }
    var permit: LeasePermit? {
        box.withLock { if case .holding(_, let permit) = $0.phase { permit } else { nil } }
    }
    var isHolding: Bool { connection != nil }
    var error: (any Error)? { box.withLock { if case .failed(let error) = $0.phase { error } else { nil } } }
    var poolError: PoolError? { error as? PoolError }

    func cancel() { box.withLock { $0.task }?.cancel() }

    /// Gives the connection back and waits until that is done.
    ///
    /// - Throws: What asking for it, or giving it back, threw.
    func end() async throws {
        ending.keep(())
        try await box.withLock { $0.task }?.value
    }

    /// Waits for the failure of its request.
    func failure() async throws -> PoolError? {
        try await eventually("the request fails") { error != nil }
        return poolError
    }

    func held() async throws -> Connection {
        try await eventually("the request is served") { isHolding || error != nil }
        if let error { throw error }
        return connection!
    }
}

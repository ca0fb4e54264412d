// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseReactor
import PosthouseTestKit
import Synchronization
import Testing

extension DatabasePool {
    /// Whether so many connections can be leased at the same time, and each of them works: none of the places is lost.
    func servesAtOnce(_ count: Int) async throws {
        let arrivals = Arrivals()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<count {
                group.addTask {
                    try await self.withConnection(deadline: .now + .seconds(120)) { db in
                        try await db.execute("SELECT 1")
                        arrivals.add()
                        try await eventually("all are leased", within: .seconds(120)) {
                            arrivals.count == count
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

private final class Arrivals: Sendable {
    private let value = Atomic<Int>(0)

    var count: Int { value.load(ordering: .relaxed) }

    func add() { value.wrappingAdd(1, ordering: .relaxed) }
}

/// Callers that use a pool without a break, until they are told to stop.
final class Callers: Sendable {
    private struct State {
        var served = 0
        var failed = 0
        /// Errors that are neither a pool's nor a database's nor a cluster's.
        var untyped: [String] = []
        var isStopping = false
    }

    private let state = Mutex(State())
    private let tasks = Mutex<[Task<Void, Never>]>([])

    var served: Int { state.withLock { $0.served } }
    var failed: Int { state.withLock { $0.failed } }
    var untyped: [String] { state.withLock { $0.untyped } }

    init(_ count: Int, _ work: @escaping @Sendable (_ round: Int) async throws -> Void) {
        let started = (0..<count).map { caller in
            Task {
                var round = caller
                while !self.state.withLock({ $0.isStopping }) {
                    do {
                        try await work(round)
                        self.state.withLock { $0.served += 1 }
                    } catch {
                        self.note(error)
                    }
                    round += count
                }
            }
        }
        tasks.withLock { $0 = started }
    }

    private func note(_ error: any Error) {
        state.withLock { state in
            state.failed += 1
            if !(error is PoolError || error is DatabaseError || error is ClusterError) {
                state.untyped.append("\(error)")
            }
        }
    }

    /// Waits until so many more calls have been served.
    func serve(_ more: Int) async throws {
        let goal = served + more
        try await eventually("\(more) more calls are served") { self.served >= goal }
    }

    /// Lets what is under way end.
    func stop() async {
        state.withLock { $0.isStopping = true }
        for task in tasks.withLock({ $0 }) { await task.value }
    }
}

/// Asks a server without a break how many sessions somebody has there.
final class SessionCensus: Sendable {
    private let most = Atomic<Int>(0)
    private let samples = Atomic<Int>(0)
    private let isStopping = Atomic<Bool>(false)
    private let task: Mutex<Task<Void, any Error>?>

    /// - Parameter condition: Which rows of `pg_stat_activity` count.
    init(of condition: String, on node: LocalNode) async throws {
        let parameters = try ConnectionParameters(node.dsn())
        let connection = try await DatabaseConnection.connect(
            to: parameters.hosts[0],
            parameters: parameters,
            loop: try EventLoopGroup.shared.next(),
            deadline: .now + .seconds(120)
        )
        task = Mutex(nil)
        let asking = Task {
            defer { connection.close() }
            while !self.isStopping.load(ordering: .relaxed) {
                let count = try await connection.query(
                    SQL(raw: "SELECT count(*)::int FROM pg_stat_activity WHERE \(condition)")
                ).one().decode(Int.self)
                self.most.max(count, ordering: .relaxed)
                self.samples.wrappingAdd(1, ordering: .relaxed)
            }
        }
        task.withLock { $0 = asking }
    }

    /// The most that there were at any sample.
    func end() async throws -> Int {
        isStopping.store(true, ordering: .relaxed)
        try await task.withLock { $0 }?.value
        #expect(samples.load(ordering: .relaxed) > 0)
        return most.load(ordering: .relaxed)
    }
}

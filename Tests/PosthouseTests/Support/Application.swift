// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Synchronization
import Testing

/// An application: tasks that write rows to the primary and tasks that read from replicas, one statement after the other,
/// until it is told to stop.
///
/// Every second writer writes in a transaction, and a second row with it: the negative of its id. A write whose error says
/// that nothing happened is tried again with the same id, so that a false promise shows as a duplicate.
final class Application: Sendable {
    /// One row per write, without a key: what is there twice must show.
    static let table = "CREATE TABLE ledger (id bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())"

    let ledger = Ledger()
    let reads = Ledger()
    private let isStopping = Atomic(false)
    private let tasks: Mutex<[Task<Void, Never>]>

    private static let idsPerWriter = 1_000_000

    private let stopsWhenClosed: Bool
    private let leavesRetrying: Bool
    private let asksServer: Bool
    private let rest: Duration?

    /// - Parameters:
    ///   - stopsWhenClosed: Whether a task ends when it is told that the cluster is closed.
    ///   - leavesRetrying: Whether it has the cluster try again: all writes are transactions then.
    ///   - asksServer: Whether each write has the server itself say who it is, where the cluster's name for it does not tell.
    ///   - rest: How long each writer rests after a write, where the machine is needed for more than to write. Default: not.
    init(
        on cluster: PostgresCluster,
        writers: Int = 6,
        readers: Int = 2,
        stopsWhenClosed: Bool = false,
        leavesRetrying: Bool = false,
        asksServer: Bool = false,
        rest: Duration? = nil
    ) {
        self.stopsWhenClosed = stopsWhenClosed
        self.leavesRetrying = leavesRetrying
        self.asksServer = asksServer
        self.rest = rest
        tasks = Mutex([])
        let writing = (0..<writers).map { writer in
            Task { await self.write(writer, to: cluster) }
        }
        let reading = (0..<readers).map { reader in
            Task { await self.read(reader, from: cluster) }
        }
        tasks.withLock { $0 = writing + reading }
    }

    /// Lets what is under way end, and starts nothing more.
    func stop() async {
        isStopping.store(true, ordering: .relaxed)
        for task in tasks.withLock({ $0 }) { await task.value }
    }

    /// Waits until so many more writes and reads are acknowledged.
    func work(writes: Int = 50, reads: Int = 10) async throws {
        let (written, read) = (ledger.count + writes, self.reads.count + reads)
        try await eventually("the application writes and reads") {
            ledger.count >= written && self.reads.count >= read
        }
    }

    /// Waits until a write on a node is acknowledged.
    func ledgerGrows(on node: LocalNode) async throws {
        let now = ContinuousClock.now
        try await eventually("the application writes to \(node.name)") {
            ledger.first(on: node.address, after: now) != nil
        }
    }

    private func write(_ writer: Int, to cluster: PostgresCluster) async {
        var number = 1
        while !isStopping.load(ordering: .relaxed) {
            let id = writer * Self.idsPerWriter + number
            let began = ContinuousClock.now
            do {
                let host =
                    leavesRetrying
                    ? try await retriedWrite(id, by: writer, to: cluster)
                    : try await write(id, by: writer, to: cluster)
                ledger.acknowledge(id, on: host, began: began)
                number += 1
                if let rest { try? await Task.sleep(for: rest) }
            } catch {
                if !ledger.fail(id, error) { number += 1 }
                if isTheEnd(error) { return }
            }
        }
    }

    private func write(_ id: Int, by writer: Int, to cluster: PostgresCluster) async throws -> String {
        try await cluster.write { db in
            if writer.isMultiple(of: 2) { return try await insert(id, in: db) }
            return try await db.withTransaction { tx in
                let host = try await insert(id, in: tx)
                try await tx.execute("INSERT INTO ledger (id) VALUES (\(-id))")
                return host
            }
        }
    }

    /// - Returns: Where.
    private func insert(_ id: Int, in db: DatabaseSession) async throws -> String {
        guard asksServer else {
            try await db.execute("INSERT INTO ledger (id) VALUES (\(id))")
            return db.host
        }
        let insertion: SQL = "INSERT INTO ledger (id) VALUES (\(id)) RETURNING inet_server_port()"
        return "127.0.0.1:\(try await db.queryValue(insertion, as: Int.self))"
    }

    private func retriedWrite(_ id: Int, by writer: Int, to cluster: PostgresCluster) async throws -> String {
        try await cluster.withTransaction { tx in
            try await tx.execute("INSERT INTO ledger (id) VALUES (\(id))")
            if !writer.isMultiple(of: 2) { try await tx.execute("INSERT INTO ledger (id) VALUES (\(-id))") }
            return tx.host
        }
    }

    private func read(_ reader: Int, from cluster: PostgresCluster) async {
        while !isStopping.load(ordering: .relaxed) {
            let began = ContinuousClock.now
            do {
                let host =
                    leavesRetrying
                    ? try await cluster.read(retrying: RetryLimits()) { try await Self.read($0) }
                    : try await cluster.read { try await Self.read($0) }
                reads.acknowledge(reader, on: host, began: began)
                // Readers are there to keep connections to replicas warm, not to take the machine from the writers.
                try? await Task.sleep(for: .milliseconds(1))
            } catch {
                _ = reads.fail(reader, error)
                if isTheEnd(error) { return }
            }
        }
    }

    private static func read(_ db: DatabaseSession) async throws -> String {
        _ = try await db.query("SELECT 1")
        return db.host
    }

    private func isTheEnd(_ error: any Error) -> Bool {
        stopsWhenClosed && (error as? ClusterError)?.code == .closed
    }
}

// MARK: - The reckoning

extension Application {
    /// The application's ledger against a server's table.
    struct Reckoning: Sendable, CustomStringConvertible {
        var acknowledged = 0
        var doubtful = 0
        /// Acknowledged, and not there.
        var missing: [Int] = []
        /// There more than once.
        var duplicates: [Int] = []
        /// There, though the application was told that it is not, or never asked for it.
        var unexplained: [Int] = []
        /// Of two rows of one transaction only one is there.
        var torn: [Int] = []

        var isClean: Bool { missing.isEmpty && duplicates.isEmpty && unexplained.isEmpty && torn.isEmpty }

        var description: String {
            "\(acknowledged) acknowledged, \(doubtful) in doubt, missing \(missing), duplicates \(duplicates), "
                + "unexplained \(unexplained), torn \(torn)"
        }
    }

    /// Rows of a server that was left, of which the application neither was told nor doubts that they are there: they
    /// were sent when it had been left already.
    func unexplained(on node: LocalNode, told: Set<Int>) async throws -> [Int] {
        let doubtful = ledger.doubtful
        return try await ids(on: node).map { abs($0) }.filter { !told.contains($0) && !doubtful.contains($0) }
    }

    /// Tests that are no application write -1, and 0.
    private func ids(on node: LocalNode) async throws -> [Int] {
        try await node.query("SELECT id FROM ledger WHERE id NOT IN (-1, 0)").compactMap {
            $0.first.flatMap { $0 }.flatMap { Int($0) }
        }
    }

    /// To be called when the application has stopped.
    ///
    /// - Parameter host: Whose acknowledgements must be found there, where several servers were written to and know nothing of
    ///   each other. Default: all of them.
    func reckon(with node: LocalNode, on host: String? = nil) async throws -> Reckoning {
        var found: [Int: Int] = [:]
        for id in try await ids(on: node) { found[id, default: 0] += 1 }
        let acknowledged = ledger.acknowledged
        let anywhere = Set(acknowledged.map(\.id))
        let told = host == nil ? anywhere : Set(acknowledged.filter { $0.host == host }.map(\.id))
        let doubtful = ledger.doubtful
        return Reckoning(
            acknowledged: told.count,
            doubtful: doubtful.count,
            missing: told.filter { found[$0] == nil },
            duplicates: found.filter { $1 > 1 }.map(\.key),
            unexplained: found.keys.filter { $0 > 0 && !anywhere.contains($0) && !doubtful.contains($0) },
            torn: found.keys.filter { id in
                !(abs(id) / Self.idsPerWriter).isMultiple(of: 2) && found[-id] == nil
            }
        )
    }
}

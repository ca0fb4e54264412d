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

    init(on cluster: PostgresCluster, writers: Int = 6, readers: Int = 2) {
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

    private func write(_ writer: Int, to cluster: PostgresCluster) async {
        var number = 1
        while !isStopping.load(ordering: .relaxed) {
            let id = writer * Self.idsPerWriter + number
            let began = ContinuousClock.now
            do {
                let host = try await cluster.write { db in
                    if writer.isMultiple(of: 2) {
                        try await db.execute("INSERT INTO ledger (id) VALUES (\(id))")
                    } else {
                        try await db.withTransaction { tx in
                            try await tx.execute("INSERT INTO ledger (id) VALUES (\(id))")
                            try await tx.execute("INSERT INTO ledger (id) VALUES (\(-id))")
                        }
                    }
                    return db.host
                }
                ledger.acknowledge(id, on: host, began: began)
                number += 1
            } catch {
                if !ledger.fail(id, error) { number += 1 }
            }
        }
    }

    private func read(_ reader: Int, from cluster: PostgresCluster) async {
        while !isStopping.load(ordering: .relaxed) {
            let began = ContinuousClock.now
            do {
                let host = try await cluster.read { db in
                    _ = try await db.query("SELECT 1")
                    return db.host
                }
                reads.acknowledge(reader, on: host, began: began)
                // Readers are there to keep connections to replicas warm, not to take the machine from the writers.
                try? await Task.sleep(for: .milliseconds(1))
            } catch {
                _ = reads.fail(reader, error)
            }
        }
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

    /// To be called when the application has stopped.
    func reckon(with node: LocalNode) async throws -> Reckoning {
        let rows = try await node.query("SELECT id FROM ledger").compactMap { $0.first.flatMap { $0 }.flatMap { Int($0) } }
        var found: [Int: Int] = [:]
        for id in rows { found[id, default: 0] += 1 }
        let told = Set(ledger.acknowledged.map(\.id))
        let doubtful = ledger.doubtful
        return Reckoning(
            acknowledged: told.count,
            doubtful: doubtful.count,
            missing: told.filter { found[$0] == nil },
            duplicates: found.filter { $1 > 1 }.map(\.key),
            unexplained: found.keys.filter { $0 > 0 && !told.contains($0) && !doubtful.contains($0) },
            torn: found.keys.filter { id in
                !(abs(id) / Self.idsPerWriter).isMultiple(of: 2) && found[-id] == nil
            }
        )
    }
}

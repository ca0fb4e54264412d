// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BenchmarkKit
import Foundation
import Posthouse

/// Our application: writers and readers until its standard input ends. `peers/failover.py` is the same through hasql.
struct ApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Writes and reads until its standard input ends, and tells each server's first acknowledged write."
    )

    @Argument(help: "The servers.")
    var dsn: String

    @Argument(help: "Ids begin after this one.")
    var firstID: Int

    @Option(help: "How many tasks write, a pause of a millisecond between their writes.")
    var writers = 2

    @Option(help: "How many tasks read from replicas.")
    var readers = 1

    func run() async throws {
        let cluster = try PostgresCluster(dsn)
        let diary = Diary(ids: firstID)
        let working = Task {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<writers { group.addTask { await write(to: cluster, diary) } }
                for _ in 0..<readers { group.addTask { await read(from: cluster, diary) } }
            }
        }
        // Blocks a thread of its own until the end of input.
        await withCheckedContinuation { (ended: CheckedContinuation<Void, Never>) in
            Thread.detachNewThread {
                while readLine() != nil {}
                ended.resume()
            }
        }
        diary.close()
        working.cancel()
        await working.value
        await cluster.close()
        try diary.print()
    }

    private func write(to cluster: PostgresCluster, _ diary: Diary) async {
        while let id = diary.nextID() {
            let began = monotonicNanoseconds()
            do {
                let port = try await cluster.write(retrying: RetryLimits()) { db in
                    try await db.queryValue(
                        "INSERT INTO ledger (id) VALUES (\(id)) RETURNING inet_server_port()",
                        as: Int.self
                    )
                }
                diary.acknowledge(id, by: port, began: began)
            } catch {
                diary.fail(id, "\(error)")
            }
            try? await Task.sleep(for: .milliseconds(1))
        }
    }

    private func read(from cluster: PostgresCluster, _ diary: Diary) async {
        while !diary.isClosed {
            do {
                _ = try await cluster.read(retrying: RetryLimits()) { try await $0.query("SELECT 1") }
                diary.read(nil)
            } catch {
                diary.read("\(error)")
            }
            try? await Task.sleep(for: .milliseconds(2))
        }
    }
}

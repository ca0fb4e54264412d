// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Posthouse
import PosthouseReactor
import PosthouseTestKit

/// The yardstick: one connection, opened before the loss to the replica that will be promoted, on which a tight loop tries
/// to write until it may. Nothing that waits for a promotion can be earlier.
struct WarmLoop {
    private let loop: EventLoop
    private let connection: DatabaseConnection
    private let rest: Duration

    /// - Parameter rest: Between two attempts, where two such loops must not take both cores. Default: none.
    init(_ node: LocalNode, rest: Duration = .zero) async throws {
        self.rest = rest
        loop = try EventLoop(name: "yardstick")
        let parameters = try ConnectionParameters(node.dsn())
        connection = try await DatabaseConnection.connect(
            to: parameters.hosts[0],
            parameters: parameters,
            loop: loop,
            deadline: .now + .seconds(30)
        )
    }

    /// - Returns: When the first write succeeded; `CLOCK_MONOTONIC`, in nanoseconds.
    func firstWrite(within limit: Duration = .seconds(60)) async throws -> UInt64 {
        let deadline = ContinuousClock.now + limit
        let result: Result<UInt64, any Error> = await withTaskExecutorPreference(loop) {
            while true {
                do {
                    try await connection.execute("INSERT INTO ledger (id) VALUES (-1)", deadline: deadline)
                    return .success(monotonicNanoseconds())
                } catch let error as DatabaseError where error.sqlState == .readOnlySQLTransaction {
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if rest > .zero { try? await loop.sleep(until: .now + rest) }
                } catch {
                    return .failure(error)
                }
            }
        }
        connection.close()
        await loop.shutdown()
        return try result.get()
    }
}

// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseReactor
import PosthouseTestKit

/// The yardstick: one connection, opened before the crash to the replica that will be promoted, on which a tight loop
/// tries to write until it may. Nothing that waits for a promotion can be earlier.
struct WarmReference: Sendable {
    private let loop: EventLoop
    private let connection: DatabaseConnection

    init(_ node: LocalNode) async throws {
        loop = try EventLoop(name: "reference")
        let parameters = try ConnectionParameters(node.dsn())
        connection = try await DatabaseConnection.connect(
            to: parameters.hosts[0],
            parameters: parameters,
            loop: loop,
            deadline: .now + .seconds(60)
        )
    }

    /// - Returns: When the first write succeeded.
    func firstWrite() async throws -> ContinuousClock.Instant {
        let deadline = ContinuousClock.now + .seconds(30)
        let result: Result<ContinuousClock.Instant, any Error> = await withTaskExecutorPreference(loop) {
            while true {
                do {
                    try await connection.execute("INSERT INTO ledger (id) VALUES (0)", deadline: deadline)
                    return .success(.now)
                } catch let error as DatabaseError where error.sqlState == .readOnlySQLTransaction {
                    continue
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

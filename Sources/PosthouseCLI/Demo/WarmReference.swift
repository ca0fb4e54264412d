// SPDX-License-Identifier: Apache-2.0
import Posthouse
import PosthouseReactor
import PosthouseTestKit

/// The yardstick: one connection, opened before the crash to the replica that will be promoted, on which a tight loop
/// tries to write until it may. Nothing that waits for a promotion can be earlier than that.
struct WarmReference: Sendable {
    private let connection: DatabaseConnection

    init(_ node: LocalNode) async throws {
        let parameters = try ConnectionParameters(node.dsn())
        connection = try await DatabaseConnection.connect(
            to: parameters.hosts[0],
            parameters: parameters,
            loop: try EventLoopGroup.shared.next(),
            deadline: .now + .seconds(60)
        )
    }

    /// - Returns: When the first write succeeded.
    func firstWrite() async throws -> ContinuousClock.Instant {
        defer { connection.close() }
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            do {
                _ = try await connection.query("INSERT INTO orders (client, number) VALUES (-1, 1)", deadline: deadline)
                return .now
            } catch {
                guard error.sqlState == .readOnlySQLTransaction else { throw error }
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseReactor
import Testing

/// Event loops that nobody else uses, so that what a cluster leaves behind can be counted.
struct OwnLoops: Sendable {
    private let pooled: EventLoopGroup
    private let monitor: EventLoop

    /// Lends loops to `body`, then checks that nothing is left on them, and ends them.
    static func lent<Result>(_ body: (OwnLoops) async throws -> Result) async throws -> Result {
        let loops = OwnLoops(
            pooled: try EventLoopGroup(count: 2, name: "test"),
            monitor: try EventLoop(name: "test-monitor")
        )
        do {
            let result = try await body(loops)
            try await loops.waitUntilEmpty()
            await loops.end()
            return result
        } catch {
            await loops.end()
            throw error
        }
    }

    func cluster(
        _ connectionString: String,
        configuration: ClusterConfiguration = ClusterConfiguration()
    ) throws -> PostgresCluster {
        let parameters = try ConnectionParameters(connectionString)
        return try PostgresCluster(
            endpoints: parameters.hosts,
            driver: LibPQDriver(parameters: parameters, loops: pooled, monitorLoop: monitor),
            configuration: configuration,
            clock: LoopTime(loop: monitor)
        )
    }

    /// Waits until no socket is registered and no task waits for one.
    func waitUntilEmpty() async throws {
        let loops = pooled.loops + [monitor]
        do {
            try await eventually("nothing is left on the event loops") {
                loops.map(\.statistics).allSatisfy { $0.registrations == 0 && $0.waitingContinuations == 0 }
            }
        } catch {
            Issue.record("left on the loops: \(loops.map(\.statistics))")
            throw error
        }
    }

    private func end() async {
        await pooled.shutdown()
        await monitor.shutdown()
    }
}

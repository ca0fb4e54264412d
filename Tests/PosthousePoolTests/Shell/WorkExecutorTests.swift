// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

@Suite struct WorkExecutorTests {
    private struct ExecutedTime: TimeSource {
        let manual = ManualTime()
        let executor = ManualExecutor()

        var now: ContinuousClock.Instant { manual.now }
        var workExecutor: (any TaskExecutor)? { executor }
        func sleep(until deadline: ContinuousClock.Instant) async throws { try await manual.sleep(until: deadline) }
    }

    /// Connecting, validating and bringing into order: what any other executor had to run would not be done in time.
    @Test func thePoolsOwnTasksRunWhereTheTimeSourceSays() throws {
        let time = ExecutedTime()
        let strategy = ScriptedStrategy()
        let group = PoolGroup<FakeConnection>(configuration: PoolGroupConfiguration(seed: 1), time: time)
        let hooks = PoolHooks<FakeConnection>(beforeHandOut: { _ in .use }, returned: { _ in })
        let configuration = PoolConfiguration(maximumSize: 1, validation: .always)
        let member = try group.addMember(label: "db", configuration: configuration, strategy: strategy, hooks: hooks)
        group.setServices(.all, for: member)

        let uses = Guarded(0)
        _ = time.executor.task {
            for _ in 0..<3 { try await group.withConnection { _ in uses.withLock { $0 += 1 } } }
        }
        time.executor.run()

        #expect(uses.withLock { $0 } == 3)
        #expect(strategy.counts.opened > 0)
        #expect(group.snapshot().members[0].available == strategy.counts.opened)
        group.terminate()
        time.executor.run()
    }
}

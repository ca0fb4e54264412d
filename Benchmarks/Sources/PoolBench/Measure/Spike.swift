// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import PosthousePool

/// Many callers at once with short work, on a pool whose connects take long: how many connections does it open?
struct Spike {
    private let callers: Int
    private let warm: Int
    private let size: Int
    private let connectTime: Duration
    private let workTime: Duration

    init(_ question: Question) {
        callers = question.count(0)
        warm = question.count(1)
        size = question.count(2)
        connectTime = .milliseconds(question.count(3))
        workTime = .milliseconds(question.count(4))
    }

    func run() async throws -> Answer {
        let strategy = StubStrategy(connectTime: connectTime)
        let pool = try StubPool(strategy: strategy, configuration: PoolConfiguration(maximumSize: size))
        _ = try await pool.leaseTogether(warm)
        let workTime = workTime
        let began = monotonicNanoseconds()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<callers {
                group.addTask { try await pool.withConnection { _ in try await Task.sleep(for: workTime) } }
            }
            try await group.waitForAll()
        }
        let took = monotonicNanoseconds() - began
        // Those that were begun and whom nobody needed any more.
        try await Task.sleep(for: connectTime * 2)
        await pool.close()
        return ["opened": Double(strategy.opened), "ms": Double(took) / 1_000_000]
    }
}

// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import PosthousePool

/// Knows how each question is answered, and keeps full pools for the questions that follow.
struct Respondent {
    private var pools: [Int: StubPool] = [:]

    mutating func answer(_ question: Question) async throws -> Answer {
        switch question.kind {
        case .warm:
            _ = try await hit(Question(.hit, 2, 64, 1_000_000))
            return [:]
        case .hit: return ["ns": try await hit(question)]
        case .scoped: return ["ns": try await scoped(question)]
        case .pair:
            return ["ns": try await ComparedPair().nanoseconds(callers: question.count(0), count: question.count(1))]
        case .priced:
            let pool = try await fullPool(of: question.count(0))
            return try await PricedHits(slices: question.count(1)).run(on: pool)
        case .among: return ["ns": try await hitAmongLeased(question)]
        case .hold:
            let pool = try await fullPool(of: question.count(1))
            return try await HoldLoop(callers: question.count(0), seconds: question.numbers[2]).run(on: pool)
        case .spike: return try await Spike(question).run()
        case .burst: return ["ns": try await burst(question)]
        case .allocations: return try await countAllocations(question.count(0))
        case .outage: return try await Outage(waiters: question.count(0), seconds: question.numbers[1]).run()
        case .cancelled:
            return try await CancelledWaiters(count: question.count(0), batch: question.count(1)).run()
        case .waiting: return ["bytes": try await WaiterMemory(count: question.count(0)).forConnection()]
        case .suspended: return ["bytes": try await WaiterMemory(count: question.count(0)).forNothing()]
        }
    }

    private mutating func fullPool(of size: Int) async throws -> StubPool {
        if let pool = pools[size] { return pool }
        let pool = try await StubPool.full(size)
        pools[size] = pool
        return pool
    }

    private mutating func hit(_ question: Question) async throws -> Double {
        let pool = try await fullPool(of: question.count(1))
        return try await HitLoop(callers: question.count(0), count: question.count(2)).nanoseconds { count in
            for _ in 0..<count { try await pool.acquire().release() }
        }
    }

    private mutating func scoped(_ question: Question) async throws -> Double {
        let pool = try await fullPool(of: question.count(1))
        return try await HitLoop(callers: question.count(0), count: question.count(2)).nanoseconds { count in
            for _ in 0..<count { try await pool.withConnection { _ in } }
        }
    }

    private mutating func hitAmongLeased(_ question: Question) async throws -> Double {
        let pool = try await fullPool(of: question.count(0))
        let leased = try await pool.leaseTogether(question.count(1))
        let nanoseconds = try await HitLoop(callers: 1, count: question.count(2)).nanoseconds { count in
            for _ in 0..<count { try await pool.acquire().release() }
        }
        return withExtendedLifetime(leased) { nanoseconds }
    }

    private mutating func burst(_ question: Question) async throws -> Double {
        let tasks = question.count(0)
        let each = question.count(2) / tasks
        let pool = try await fullPool(of: question.count(1))
        var runs: [Double] = []
        for _ in 0..<question.count(3) {
            let began = monotonicNanoseconds()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<tasks {
                    group.addTask {
                        for _ in 0..<each { try await pool.withConnection { _ in } }
                    }
                }
                try await group.waitForAll()
            }
            runs.append(Double(monotonicNanoseconds() - began))
        }
        return runs.median
    }

    private mutating func countAllocations(_ count: Int) async throws -> Answer {
        let pool = try await fullPool(of: 64)
        return [
            "hit": try await CountedAllocations.of { for _ in 0..<count { try await pool.acquire().release() } },
            "scoped": try await CountedAllocations.of {
                for _ in 0..<count { try await pool.withConnection { _ in } }
            },
        ]
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// Connections that come back unfit, of which some can be brought into order.
@Suite(.timeLimit(.minutes(20)))
struct SoiledTests {
    private final class Strategy: ConnectionStrategy {
        struct State {
            var opened = 0
            var isSoiled = false
            var canBeRecycled = true
            var recycled = 0
            var recyclingWorks = true
        }

        let state = Guarded(State())

        func create() async throws -> Int {
            state.withLock { state in
                state.opened += 1
                state.isSoiled = false
                return state.opened
            }
        }

        func isClosed(_ connection: Int) -> Bool { state.withLock { $0.isSoiled } }

        func canBeRecycled(_ connection: Int) -> Bool { state.withLock { $0.isSoiled && $0.canBeRecycled } }

        func recycle(_ connection: Int) async throws {
            state.withLock { state in
                state.recycled += 1
                if state.recyclingWorks { state.isSoiled = false }
            }
        }

        func close(_ connection: Int) {}
    }

    private let strategy = Strategy()
    private let pool: ConnectionPool<Strategy>

    init() throws {
        pool = try ConnectionPool(strategy: strategy, configuration: PoolConfiguration(maximumSize: 1))
    }

    private func soil() async throws {
        try await pool.withConnection { [strategy] _ in strategy.state.withLock { $0.isSoiled = true } }
    }

    @Test func aConnectionThatCanBeRecycledIsKeptThoughItCountsAsClosed() async throws {
        try await soil()
        #expect(try await pool.withConnection { $0 } == 1)
        #expect(strategy.state.withLock { $0.recycled } == 1)
        // Nothing to do.
        #expect(try await pool.withConnection { $0 } == 1)
        #expect(strategy.state.withLock { $0.recycled } == 1)
        await pool.close()
    }

    @Test func aConnectionThatRecyclingDidNotHelpIsClosed() async throws {
        strategy.state.withLock { $0.recyclingWorks = false }
        try await soil()
        #expect(try await pool.withConnection { $0 } == 2)
        await pool.close()
    }

    @Test func aConnectionThatCannotBeRecycledIsClosed() async throws {
        strategy.state.withLock { $0.canBeRecycled = false }
        try await soil()
        #expect(try await pool.withConnection { $0 } == 2)
        #expect(strategy.state.withLock { $0.recycled } == 0)
        await pool.close()
    }
}

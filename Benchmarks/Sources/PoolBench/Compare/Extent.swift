// SPDX-License-Identifier: Apache-2.0

/// How much is measured.
struct Extent {
    /// Of hits and spikes.
    var rounds: Int
    /// Of callers that hold what they lease.
    var holdRounds: Int
    var holdSeconds: Double
    var holdCallers: [Int]
    /// To each contender's hits.
    var hitShare: Double
    /// Java's compiler takes seconds.
    var warmUpSeconds: Double
    var cancelled: Double
    var waiting: Double
    /// That price a hit.
    var pricedProcesses: Int

    static let full = Extent(
        rounds: 5,
        holdRounds: 3,
        holdSeconds: 0.25,
        holdCallers: [1, 2, 8, 64, 128, 512, 2048, 8192],
        hitShare: 1,
        warmUpSeconds: 6,
        cancelled: 1_000_000,
        waiting: 100_000,
        pricedProcesses: 10
    )

    /// To see that everything works; its figures say little.
    static let quick = Extent(
        rounds: 2,
        holdRounds: 1,
        holdSeconds: 0.1,
        holdCallers: [1, 8, 64, 512, 8192],
        hitShare: 0.2,
        warmUpSeconds: 3,
        cancelled: 100_000,
        waiting: 20_000,
        pricedProcesses: 3
    )

    static let hitCallers = [1, 2, 8, 64]
    static let hitPool = 64
    static let holdPools = [8, 64, 512]
    static let spike = Question(.spike, 50, 5, 50, 150, 2)
}

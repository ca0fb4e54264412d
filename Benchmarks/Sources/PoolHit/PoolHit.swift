// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CAllocationCount
import PosthousePool
import Synchronization

/// What leasing and returning an idle connection costs, without any server, beside what no pool can do without: a pair of
/// compare-exchanges on a word that the callers share.
///
/// Each round measures every shape once, one after the other, so that a machine that is slower for a while is so for all
/// of them; what counts is the median of the rounds' ratios.
@main
struct PoolHit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "PoolHit",
        abstract: "What leasing and returning an idle connection costs."
    )

    @Option(help: "How many tasks lease and return.")
    var callers = 1

    @Option(help: "How many connections the pool has.")
    var size = 64

    @Option(help: "How many times the callers lease in a round, together.")
    var count = 400_000

    @Option(help: "How many rounds.")
    var rounds = 21

    @Option(help: "Only this shape, for a profile: raw, acquire, scoped.")
    var only: Shape?

    enum Shape: String, CaseIterable, ExpressibleByArgument {
        case raw, acquire, scoped

        var name: String {
            switch self {
            case .raw: "raw pair"
            case .acquire: "acquire + release"
            case .scoped: "withConnection"
            }
        }
    }

    func run() async throws {
        let pool = try ConnectionPool(strategy: Stub(), configuration: PoolConfiguration(maximumSize: size))
        // Every slot, used once.
        var leases = Leases()
        for _ in 0..<size { leases.add(try await pool.acquire()) }
        try leases.release()

        let shapes = only.map { [$0] } ?? Shape.allCases
        for shape in shapes { _ = try await measure(shape, pool) }
        var results: [[Sample]] = []
        for _ in 0..<rounds {
            var samples: [Sample] = []
            for shape in shapes { samples.append(try await measure(shape, pool)) }
            results.append(samples)
        }
        for (index, shape) in shapes.enumerated() {
            let time = median(results.map { $0[index].nanoseconds })
            let ratio = median(results.map { $0[index].nanoseconds / $0[0].nanoseconds })
            let allocations = median(results.map { $0[index].allocations })
            print(
                "\(callers) callers, \(size) connections, \(shape.name): \(rounded(time)) ns,",
                "\(rounded(ratio)) raw pairs, \(rounded(allocations)) allocations"
            )
        }
        await pool.close()
    }

    /// Of one hit.
    private struct Sample {
        var nanoseconds: Double
        var allocations: Double
    }

    private func measure(_ shape: Shape, _ pool: ConnectionPool<Stub>) async throws -> Sample {
        let each = count / callers
        let word = SharedWord()
        // What the tasks themselves allocate, before or after their hits, is not counted to these.
        let tally = Tally()
        let took = try await ContinuousClock().measure {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<callers {
                    group.addTask {
                        let before = callocationcount_total()
                        switch shape {
                        case .raw: for _ in 0..<each { word.pair() }
                        case .acquire: for _ in 0..<each { try await pool.acquire().release() }
                        case .scoped: for _ in 0..<each { try await pool.withConnection { _ in } }
                        }
                        tally.allocations.add(callocationcount_total() - before, ordering: .relaxed)
                    }
                }
                try await group.waitForAll()
            }
        }
        let nanoseconds = Double(took.components.seconds) * 1e9 + Double(took.components.attoseconds) / 1e9
        let hits = Double(callers * each)
        return Sample(
            nanoseconds: nanoseconds / hits,
            allocations: Double(tally.allocations.load(ordering: .relaxed)) / hits
        )
    }

    private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
    private func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
}

private final class Tally: Sendable {
    let allocations = Atomic<UInt64>(0)
}

/// A word of which each caller takes the lowest bit and gives it back.
private final class SharedWord: Sendable {
    private let bits = Atomic<UInt64>(.max)

    func pair() {
        var before = bits.load(ordering: .acquiring)
        var taken: UInt64
        while true {
            taken = before & (0 &- before)
            let (exchanged, found) = bits.weakCompareExchange(
                expected: before,
                desired: before & ~taken,
                ordering: .acquiringAndReleasing
            )
            before = found
            if exchanged { break }
        }
        before = bits.load(ordering: .acquiring)
        while true {
            let (exchanged, found) = bits.weakCompareExchange(
                expected: before,
                desired: before | taken,
                ordering: .acquiringAndReleasing
            )
            before = found
            if exchanged { return }
        }
    }
}

private struct Leases: ~Copyable {
    private var held: [Box] = []

    private final class Box {
        var lease: Lease<Int>?
        init(_ lease: consuming Lease<Int>) { self.lease = consume lease }
    }

    mutating func add(_ lease: consuming Lease<Int>) { held.append(Box(lease)) }
    mutating func release() throws { held = [] }
}

/// Connections that are numbers.
private struct Stub: ConnectionStrategy {
    private static let made = Atomic<Int>(0)

    func create() async throws -> Int { Self.made.add(1, ordering: .relaxed).newValue }
    func isClosed(_ connection: Int) -> Bool { false }
    func close(_ connection: Int) {}
}

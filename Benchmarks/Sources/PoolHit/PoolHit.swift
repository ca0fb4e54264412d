// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import PosthousePool
import Synchronization

/// What leasing and returning an idle connection costs, without any server.
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

    @Option(help: "How many times each caller leases.")
    var count = 2_000_000

    func run() async throws {
        let pool = try ConnectionPool(strategy: Stub(), configuration: PoolConfiguration(maximumSize: size))
        // Every slot, used once.
        var leases = Leases()
        for _ in 0..<size { leases.add(try await pool.acquire()) }
        try leases.release()
        for shape in ["acquire + release", "withConnection"] {
            let isScoped = shape == "withConnection"
            let clock = ContinuousClock()
            let took = try await clock.measure {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<callers {
                        group.addTask {
                            for _ in 0..<count {
                                if isScoped {
                                    try await pool.withConnection { _ in }
                                } else {
                                    try await pool.acquire().release()
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            let each = Double(took.components.seconds) * 1e9 + Double(took.components.attoseconds) / 1e9
            print("\(shape): \(callers) callers, \(size) connections: \(each / Double(callers * count)) ns")
        }
        await pool.close()
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

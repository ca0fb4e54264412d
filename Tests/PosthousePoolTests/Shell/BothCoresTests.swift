// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// The pool whose idle connections lie open, beside one that takes its lock for everything: the same random events happen to
/// both, and after each of them both must look the same, down to which connection a request got.
///
/// `POSTHOUSE_TEST_SEED=n` replays one walk; `POSTHOUSE_TEST_SEEDS=n` walks n times (default 100).
@Suite(.timeLimit(.minutes(20)))
struct BothCoresTests {
    @Test func withAndWithoutTheLockTheSameHappens() async throws {
        for seed in Seeds.fromEnvironment(default: 100) {
            let walk = Deed.walk(seed)
            guard let difference = try await Self.firstDifference(walk) else { continue }
            var shortest = walk
            // Cuts out what is not needed, from the end.
            for position in walk.indices.reversed() {
                var candidate = shortest
                candidate.remove(at: position)
                if try await Self.firstDifference(candidate) != nil { shortest = candidate }
            }
            let last = try await Self.firstDifference(shortest) ?? difference
            Issue.record("POSTHOUSE_TEST_SEED=\(seed): \(last) after \(shortest)")
            return
        }
    }

    private static func firstDifference(_ walk: [Deed]) async throws -> String? {
        let open = try Subject(laysIdleOpen: true)
        let locked = try Subject(laysIdleOpen: false)
        for (position, deed) in walk.enumerated() {
            let one = try await open.perform(deed)
            let other = try await locked.perform(deed)
            if one != other { return "\(deed) at \(position): \(one) without the lock, \(other) with it" }
        }
        let one = try await open.end()
        let other = try await locked.end()
        return one == other ? nil : "the end: \(one) without the lock, \(other) with it"
    }
}

/// Something that happens to a pool.
private enum Deed {
    case acquire
    case tryAcquire
    case giveBack(Int)
    case giveBackDead(Int)
    case claim(Int, isKept: Bool)
    case detach(Int)
    case expire
    case resize(Int)

    static func walk(_ seed: UInt64) -> [Deed] {
        var random = SplitMix64(seed: seed &* 7 &+ 3)
        return (0..<60).map { _ in
            let number = Int.random(in: 0..<100, using: &random)
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<5: return .acquire
            case 5..<8: return .tryAcquire
            case 8..<14: return .giveBack(number)
            case 14: return .giveBackDead(number)
            case 15, 16: return .claim(number, isKept: number % 3 != 0)
            case 17: return .detach(number)
            case 18: return .expire
            default: return .resize(1 + number % 5)
            }
        }
    }
}

/// One of the two pools, and who holds what of it.
private final class Subject {
    private let strategy = ScriptedStrategy()
    private let pool: ConnectionPool<ScriptedStrategy>
    private var leases: [Box] = []
    private var slots: [PoolSlot] = []

    private final class Box {
        private var lease: Lease<FakeConnection>?
        let connection: FakeConnection

        init(_ lease: consuming Lease<FakeConnection>) {
            connection = lease.connection
            self.lease = consume lease
        }

        func release() throws { try lease.take()?.release() }
        func detach() { _ = lease.take()?.detach() }
    }

    init(laysIdleOpen: Bool) throws {
        var queue = PoolGroupConfiguration(connectFailurePolicy: .failRequester, seed: 1)
        queue.laysIdleOpen = laysIdleOpen
        queue.stripes = Stripes(processors: 1)
        pool = try ConnectionPool(
            strategy: strategy,
            configuration: PoolConfiguration(maximumSize: 3, burstLimit: 5, maximumUses: 4),
            queue: queue,
            time: ManualTime()
        )
    }

    /// What came of it, and how the pool looks afterwards.
    func perform(_ deed: Deed) async throws -> String {
        var outcome = ""
        switch deed {
        case .acquire:
            // One that would have to wait for somebody to give back is not asked for.
            let status = pool.status()
            guard status.available > 0 || status.size < status.hardLimit else { return "full" }
            outcome = hold(try await pool.acquire())
        case .tryAcquire:
            if let lease = try pool.tryAcquire() { outcome = hold(lease) } else { outcome = "none" }
        case .giveBack(let choice): try take(choice)?.release()
        case .giveBackDead(let choice):
            guard let box = take(choice) else { break }
            strategy.kill(box.connection)
            try box.release()
        case .claim(let choice, let isKept):
            guard !slots.isEmpty else { break }
            outcome = "\(slots[choice % slots.count].withIdleClaim { isKept ? .keep : .evict })"
        case .detach(let choice): take(choice)?.detach()
        case .expire: pool.expire()
        case .resize(let size): try pool.resize(maximumSize: size, burstLimit: size + 1)
        }
        return "\(outcome) \(try await look())"
    }

    func end() async throws -> String {
        while let box = take(0) { try box.release() }
        let last = try await look()
        await pool.close()
        #expect(pool.group.core.violations == [])
        return last
    }

    private func hold(_ lease: consuming Lease<FakeConnection>) -> String {
        let box = Box(lease)
        leases.append(box)
        slots.append(box.connection.slot)
        return "got \(box.connection.number)"
    }

    private func take(_ choice: Int) -> Box? {
        leases.isEmpty ? nil : leases.remove(at: choice % leases.count)
    }

    private func look() async throws -> String {
        try await eventually("nothing is under way") {
            let status = pool.status()
            return status.connecting == 0 && status.closing == 0
        }
        let status = pool.status()
        let closed = strategy.closedNumbers
        return "\(status.size) open, \(status.available) idle, \(status.leased) leased, closed \(closed)"
    }
}

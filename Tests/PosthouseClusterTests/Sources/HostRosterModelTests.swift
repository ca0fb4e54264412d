// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseCluster

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The roster against random histories of answers, failures and primaries, judged by its whole past.
///
/// A failing seed is printed; `POSTHOUSE_TEST_SEED=n` runs that history alone, `POSTHOUSE_TEST_SEEDS=n` as many.
@Suite(.apart, .timeLimit(.minutes(60))) struct HostRosterModelTests {
    /// A small, fixed generator: the same seed gives the same history on every machine.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    /// What the world looks like, by the actions alone.
    private struct World {
        enum Standing { case there, draining }
        var hosts: [Int: Standing] = [:]
        var readless: Set<Int> = []
        var primary: Int?
        var inUse: Set<Int> = []
        /// Good answers that were given, and when.
        var answers: [(at: ContinuousClock.Instant, named: Set<Int>)] = []
        var drainedAt: [Int: ContinuousClock.Instant] = [:]
    }

    private static let rules = SourceRules(absences: 3, removalDelay: .seconds(30), drainTimeout: .seconds(20))

    @Test func everyHistoryKeepsThePromises() {
        func setting(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }
        if let seed = setting("POSTHOUSE_TEST_SEED") { return run(seed: seed) }
        for seed in 1...(setting("POSTHOUSE_TEST_SEEDS") ?? 3000) { run(seed: seed) }
    }

    private func run(seed: UInt64) {
        var random = Generator(state: seed)
        var roster = HostRoster<Int>(rules: Self.rules)
        var world = World()
        var now = ContinuousClock.now
        let count = Int.random(in: 1...5, using: &random)
        for step in 0..<200 {
            now += .milliseconds(Int.random(in: 100...20_000, using: &random))
            if Int.random(in: 0..<5, using: &random) == 0 { world.primary = (0..<count).randomElement(using: &random) }
            if Int.random(in: 0..<5, using: &random) == 0 {
                world.inUse = Set((0..<count).filter { _ in Bool.random(using: &random) })
            }
            if let primary = world.primary { world.inUse.insert(primary) }
            let actions: [HostRoster<Int>.Action]
            switch Int.random(in: 0..<10, using: &random) {
            case 0:
                actions = roster.answered([], now: now) { _ in .init(isPrimary: false, isInUse: true) }
                expect(actions.isEmpty, "an empty answer led to \(actions)", seed, step)
            case 1...6:
                let named = (0..<count).filter { _ in Int.random(in: 0..<4, using: &random) > 0 }
                guard !named.isEmpty else { continue }
                world.answers.append((now, Set(named)))
                let hosts = named.map { SourcedHost($0, takesReads: Bool.random(using: &random)) }
                actions = roster.answered(hosts, now: now) {
                    .init(isPrimary: world.primary == $0, isInUse: world.inUse.contains($0))
                }
                apply(actions, to: &world, now: now, seed, step)
                for host in hosts {
                    expect(world.hosts[host.endpoint] == .there, "who is named is not there", seed, step)
                    let isReadless = world.readless.contains(host.endpoint)
                    expect(isReadless != host.takesReads, "reads are wrong", seed, step)
                }
                expectNobodyStays(world, now: now, seed, step)
            default:
                let idle = Set((0..<count).filter { _ in Bool.random(using: &random) })
                actions = roster.looked(now: now) { idle.contains($0) }
                for case .remove(let host) in actions {
                    let isOver = world.drainedAt[host].map { $0.duration(to: now) >= Self.rules.drainTimeout } ?? false
                    expect(idle.contains(host) || isOver, "removed while it works", seed, step)
                }
                apply(actions, to: &world, now: now, seed, step)
            }
            expect(Set(roster.endpoints) == Set(world.hosts.keys), "the actions do not lead to the roster", seed, step)
            expect(world.answers.isEmpty || world.hosts.values.contains(.there), "nobody is left", seed, step)
        }
    }

    /// Each action must fit what is there, and each host that goes must have deserved it.
    private func apply(
        _ actions: [HostRoster<Int>.Action],
        to world: inout World,
        now: ContinuousClock.Instant,
        _ seed: UInt64,
        _ step: Int
    ) {
        for action in actions {
            switch action {
            case .add(let host, let takesReads):
                expect(world.hosts[host] == nil, "added twice", seed, step)
                world.hosts[host] = .there
                if !takesReads { world.readless.insert(host) }
            case .allowReads(let host, let allows):
                expect(world.hosts[host] != nil, "reads of a host that is not there", seed, step)
                expect(world.readless.contains(host) == allows, "reads are as they were", seed, step)
                if allows { world.readless.remove(host) } else { world.readless.insert(host) }
            case .drain(let host):
                expect(world.hosts[host] == .there, "drained what is not there", seed, step)
                expect(world.primary != host, "drained the primary", seed, step)
                expect(mayGo(host, world, now: now), "drained too early", seed, step)
                world.hosts[host] = .draining
                world.drainedAt[host] = now
            case .undrain(let host):
                expect(world.hosts[host] == .draining, "undrained what was not drained", seed, step)
                world.hosts[host] = .there
            case .remove(let host):
                expect(world.hosts[host] == .draining, "removed without a drain", seed, step)
                world.hosts[host] = nil
                world.readless.remove(host)
            }
        }
    }

    /// By the whole past: how often and how long it was missing, and whether another one is in use.
    private func mayGo(_ host: Int, _ world: World, now: ContinuousClock.Instant) -> Bool {
        let absences = world.answers.reversed().prefix { !$0.named.contains(host) }
        guard absences.count >= Self.rules.absences, let first = absences.last, let last = world.answers.last else {
            return false
        }
        return first.at.duration(to: now) >= Self.rules.removalDelay && !last.named.isDisjoint(with: world.inUse)
    }

    private func expectNobodyStays(_ world: World, now: ContinuousClock.Instant, _ seed: UInt64, _ step: Int) {
        for (host, standing) in world.hosts where standing == .there && host != world.primary {
            expect(!mayGo(host, world, now: now), "host \(host) should have been drained", seed, step)
        }
    }

    /// `#expect` costs more than a step; it is called for failures only.
    private func expect(_ holds: Bool, _ promise: @autoclosure () -> String, _ seed: UInt64, _ step: Int) {
        if !holds { Issue.record("seed \(seed), step \(step): \(promise())") }
    }
}

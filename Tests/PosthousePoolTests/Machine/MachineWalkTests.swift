// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Random sequences of everything that can happen to a pool, against what must always hold.
///
/// `POSTHOUSE_TEST_SEED=n` replays one walk; `POSTHOUSE_TEST_SEEDS=n` walks n times (default 100).
@Suite(.apart, .timeLimit(.minutes(60)))
struct MachineWalkTests {
    @Test func nothingIsEverLostWhateverHappens() {
        let seeds = Seeds.fromEnvironment(default: 100)
        for seed in seeds {
            let walk = Self.walk(seed)
            guard Self.firstViolation(seed, walk) != nil else { continue }
            let shortest = Self.shrink(walk) { Self.firstViolation(seed, $0) != nil }
            Issue.record(
                """
                POSTHOUSE_TEST_SEED=\(seed): \(Self.firstViolation(seed, shortest) ?? "")
                after \(shortest.map(\.description).joined(separator: ", "))
                """
            )
            return
        }
    }

    private static func walk(_ seed: UInt64) -> [Happening] {
        var random = SplitMix64(seed: seed &* 31 &+ 1)
        return (0..<300).map { _ in Happening.random(using: &random) }
    }

    private static func firstViolation(_ seed: UInt64, _ walk: [Happening]) -> String? {
        var world = MachineWorld(seed: seed)
        for happening in walk {
            world.apply(happening)
            if let violation = world.violations.first { return violation }
        }
        world.settle()
        return world.violations.first.map { "\($0) (at rest)" }
    }

    /// Cuts pieces out, large ones first, as long as what is left still fails.
    private static func shrink(_ walk: [Happening], whileFailing fails: ([Happening]) -> Bool) -> [Happening] {
        var shortest = walk
        var piece = walk.count / 2
        while piece > 0 {
            var start = 0
            while start < shortest.count {
                var candidate = shortest
                candidate.removeSubrange(start..<min(start + piece, candidate.count))
                if fails(candidate) { shortest = candidate } else { start += piece }
            }
            piece /= 2
        }
        return shortest
    }
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthouseCluster

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The machine against random histories.
///
/// A failing seed is printed; `POSTHOUSE_TEST_SEED=n` runs that history alone, `POSTHOUSE_TEST_SEEDS=n` as many.
@Suite(.apart, .timeLimit(.minutes(60))) struct TopologyWalkTests {
    private static func setting(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }

    private static var seeds: Range<UInt64> {
        if let seed = setting("POSTHOUSE_TEST_SEED") { return seed..<seed + 1 }
        return 0..<(setting("POSTHOUSE_TEST_SEEDS") ?? 100)
    }

    @Test func noHistoryBreaksAPromise() {
        for seed in Self.seeds {
            let violation = TopologyWalk.violation(seed: seed)
            #expect(violation == nil)
        }
    }

    /// Each rule of the machine is left out once, and must be missed.
    @Test(arguments: 0..<30)
    func everyGuardIsNeeded(bit: Int) {
        let rule = TopologyMachine.Guards(rawValue: 1 << bit)
        #expect(TopologyMachine.Guards.all.contains(rule))
        let violation = (0..<400 as Range<UInt64>).lazy.compactMap {
            TopologyWalk.violation(seed: $0, guards: .all.subtracting(rule))
        }.first
        #expect(violation != nil, "nobody misses rule \(bit)")
        if let violation { print("without rule \(bit): \(violation)") }
    }

    @Test func thereAreNoOtherGuards() {
        #expect(TopologyMachine.Guards.all.rawValue == 1 << 30 - 1)
    }
}

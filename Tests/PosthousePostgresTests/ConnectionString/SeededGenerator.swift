// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Random numbers that a seed repeats (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// The seeds to run a test with, printed: `POSTHOUSE_TEST_SEED=n` replays that one, `POSTHOUSE_TEST_SEEDS=n` draws as many;
    /// else one is drawn.
    static func seeds(for test: String) -> [UInt64] {
        func setting(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }
        let seeds =
            setting("POSTHOUSE_TEST_SEED").map { [$0] }
            ?? (0..<(setting("POSTHOUSE_TEST_SEEDS") ?? 1)).map { _ in UInt64.random(in: .min ... .max) }
        for seed in seeds { print("\(test): POSTHOUSE_TEST_SEED=\(seed)") }
        return seeds
    }
}

// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Two compare-exchanges on one word, the least that taking and giving back can cost: what hits are measured in.
final class ComparedPair: Sendable {
    private let word = Atomic<UInt64>(0)

    /// Time for one pair, all callers together.
    func nanoseconds(callers: Int, count: Int) async throws -> Double {
        try await HitLoop(callers: callers, count: count).nanoseconds { count in
            for _ in 0..<count { self.pair() }
        }
    }

    @inline(__always)
    private func pair() {
        swap { $0 &+ 1 }
        swap { $0 &- 1 }
    }

    @inline(__always)
    private func swap(_ change: (UInt64) -> UInt64) {
        var seen = word.load(ordering: .relaxed)
        while true {
            let (exchanged, original) = word.compareExchange(
                expected: seen,
                desired: change(seen),
                ordering: .acquiringAndReleasing
            )
            if exchanged { return }
            seen = original
        }
    }
}

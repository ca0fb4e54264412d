// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit

/// Tasks that do one cheap thing again and again. They never suspend: more tasks than threads run one after the other.
struct HitLoop {
    var callers: Int
    /// All callers together.
    var count: Int

    /// Time for one, all callers together: with two that do not hinder each other, half of what one needs.
    func nanoseconds(_ body: @escaping @Sendable (_ count: Int) async throws -> Void) async throws -> Double {
        let each = count / callers
        let gate = StartGate<Void>()
        let took = try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<callers {
                group.addTask {
                    await gate.pass()
                    try await body(each)
                }
            }
            await gate.gather(callers)
            let began = monotonicNanoseconds()
            gate.open(())
            try await group.waitForAll()
            return monotonicNanoseconds() - began
        }
        return Double(took) / Double(each * callers)
    }
}

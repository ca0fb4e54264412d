// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthouseReactor

struct SocketWatchTests {
    /// More often than a stack is deep: a function that is wrapped once more at each call ends the process.
    @Test func theCallbackMayRunAsOftenAsEventsCome() {
        let called = Counter()
        let watch = SocketWatch(slot: 0, generation: 1) { _ in called.increment() }
        let gate = Guarded<Void>(())
        for _ in 0..<300_000 { watch.deliver(.read, generation: 1, gate: gate) }
        #expect(called.value == 300_000)
    }
}

// SPDX-License-Identifier: Apache-2.0
import Posthouse
import Synchronization

/// Every order that was acknowledged to the application, and when the first one after the crash was.
final class DemoLedger: Sendable {
    private struct State {
        var numbers: [Int]
        var acknowledged: [[Int]]
        var crash: ContinuousClock.Instant?
        var resumed: ContinuousClock.Instant?
    }

    private let state: Mutex<State>

    init(clients: Int) {
        self.state = Mutex(
            State(
                numbers: Array(repeating: 0, count: clients),
                acknowledged: Array(repeating: [], count: clients)
            )
        )
    }

    func next(_ client: Int) -> Int {
        state.withLock { state in
            state.numbers[client] += 1
            return state.numbers[client]
        }
    }

    /// - Parameter began: When the application started to ask for it.
    func acknowledge(_ client: Int, _ number: Int, began: ContinuousClock.Instant) {
        let now = ContinuousClock.now
        state.withLock { state in
            state.acknowledged[client].append(number)
            // An answer that was under way when the server died is no sign of life.
            if let crash = state.crash, began > crash, state.resumed == nil { state.resumed = now }
        }
    }

    /// From now on the first order of the new era is looked for.
    func crashed(at crash: ContinuousClock.Instant) {
        state.withLock { $0.crash = crash }
    }

    /// Waits for the first acknowledgement of an order that was begun after the crash.
    func resumed() async throws -> ContinuousClock.Instant {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            if let at = state.withLock({ $0.resumed }) { return at }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw DemoTimeout(what: "the application's first write after the promotion")
    }

    /// How many acknowledged orders the primary does not have.
    func missing(on cluster: PostgresCluster) async throws -> Int {
        let acknowledged = state.withLock { $0.acknowledged }
        let rows = try await cluster.write { db in
            try await db.query("SELECT client, number FROM orders WHERE client >= 0").decode((Int, Int).self)
        }
        var found = acknowledged.map { _ in Set<Int>() }
        for (client, number) in rows { found[client].insert(number) }
        return zip(acknowledged, found).reduce(0) { sum, pair in sum + pair.0.count { !pair.1.contains($0) } }
    }
}

/// Something that had to happen in the demo did not.
struct DemoTimeout: Error, CustomStringConvertible {
    let what: String

    var description: String { "\(what) did not come in time" }
}

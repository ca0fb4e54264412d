// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Every interleaving of a few threads, on a memory that is as weak as C++'s release/acquire allows: x86 would hide half of
/// the mistakes. Each guard of the protocol is left out once, and must be missed.
@Suite struct OpenProtocolTests {
    struct Scenario: CustomTestStringConvertible, Sendable {
        let jobs: [OpenProtocol.Job]
        var connections = 1
        var slots = 1

        var testDescription: String { "\(jobs), \(connections) of \(slots)" }
    }

    static let scenarios: [Scenario] = [
        Scenario(jobs: [.use, .use]),
        Scenario(jobs: [.use, .use, .use]),
        Scenario(jobs: [.use, .use, .use], connections: 2, slots: 2),
        Scenario(jobs: [.use, .useOrCancel, .use]),
        Scenario(jobs: [.use, .use, .connect], connections: 1, slots: 2),
        Scenario(jobs: [.use, .fence]),
        Scenario(jobs: [.use, .fence, .use], slots: 2),
        Scenario(jobs: [.use, .fence, .fence], slots: 2),
        Scenario(jobs: [.use, .use, .resize], connections: 2, slots: 2),
        Scenario(jobs: [.use, .resize, .fence], connections: 2, slots: 2),
        Scenario(jobs: [.use, .resize, .connect], connections: 2, slots: 3),
        Scenario(jobs: [.use, .use, .close], slots: 2),
        Scenario(jobs: [.use, .useOrCancel, .close]),
        Scenario(jobs: [.use, .fence, .close], slots: 2),
    ]

    @Test(arguments: scenarios)
    func nothingIsLostOrGivenTwiceInAnyInterleaving(scenario: Scenario) {
        let (violation, states) = explore(scenario, mutation: nil)
        #expect(violation == nil)
        #expect(states > 50)
    }

    @Test(arguments: OpenProtocol.Mutation.allCases)
    func everyGuardIsNeeded(mutation: OpenProtocol.Mutation) {
        #expect(Self.scenarios.contains { explore($0, mutation: mutation).violation != nil })
    }

    private func explore(
        _ scenario: Scenario,
        mutation: OpenProtocol.Mutation?
    ) -> (violation: String?, states: Int) {
        let start = OpenProtocol(
            scenario.jobs,
            connections: scenario.connections,
            slots: scenario.slots,
            mutation: mutation
        )
        var seen: Set<OpenProtocol> = [start]
        var pending = [start]
        while let state = pending.popLast() {
            let successors = state.successors()
            if successors.isEmpty, let violation = state.finalViolation { return (violation, seen.count) }
            for next in successors where seen.insert(next).inserted {
                if let violation = next.violation { return (violation, seen.count) }
                pending.append(next)
            }
        }
        return (nil, seen.count)
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthouseCluster
@testable import PosthouseSimulator

/// A host that answers its users is only slow, however long its checks take; one that answers nobody is frozen.
@Suite struct SignsOfLifeTests {
    private static let signs = TopologyMachine.Guards.signsOfLife

    /// What became of the primary.
    private struct Outcome: Equatable {
        /// Virtual time after the last fault.
        var frozenAfter: Duration?
        /// The same until it was used no more, for whatever reason.
        var leftAfter: Duration?
        var states: Set<HostState> = []
        var violations: [String] = []
    }

    /// Written by the tasks of the run.
    private final class Log: Sendable {
        let outcome = Guarded(Outcome())
        let leases = Guarded(0)
        let states = Guarded<[HostState]>([])
        let areMeasured = Guarded<[Bool]>([])
    }

    /// The primary meets the faults, in milliseconds after it was there; users write to it and wait as long as it takes.
    private func outcome(
        of faults: [(at: Int, Fault)],
        users: Int,
        for time: Duration,
        without guards: TopologyMachine.Guards = []
    ) -> Outcome {
        let log = Log()
        var configuration = ClusterConfiguration()
        configuration.guardsLeftOut = guards.rawValue
        let report = Simulation.run(Scenario(seed: 1), configuration: configuration) { stage in
            try await stage.cluster.ready(primaries: 1, replicas: 2)
            let began = stage.time.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for user in 0..<users {
                    group.addTask {
                        try? await stage.cluster.write { db in
                            // Each has its connection before anything happens.
                            log.leases.withLock { $0 += 1 }
                            try await stage.time.sleep(until: began + .milliseconds(200 + 97 * user))
                            while stage.time.now < began + time { try await db.read() }
                        }
                    }
                }
                group.addTask {
                    for (at, fault) in faults {
                        try await stage.time.sleep(until: began + .milliseconds(200 + at))
                        stage.world.apply(fault)
                    }
                    let last = stage.time.now
                    while stage.time.now < began + time {
                        let state = stage.cluster.snapshot().hosts[0].state
                        log.outcome.withLock { outcome in
                            outcome.states.insert(state)
                            if state != .up, outcome.leftAfter == nil {
                                outcome.leftAfter = last.duration(to: stage.time.now)
                            }
                            if state == .frozen, outcome.frozenAfter == nil {
                                outcome.frozenAfter = last.duration(to: stage.time.now)
                            }
                        }
                        try await stage.time.sleep(until: stage.time.now + .milliseconds(10))
                    }
                    stage.world.apply(.heal)
                }
                try await group.waitForAll()
            }
            #expect(log.leases.withLock { $0 } == users)
        }
        return log.outcome.withLock { outcome in
            outcome.violations = report.violations
            return outcome
        }
    }

    /// Longer than a check may take.
    private static let slow = Fault.slow(host: .host(0), milliseconds: 1_300)
    private static let freeze = Fault.freeze(host: .host(0))

    @Test func aHostWhoseUsersAreAnsweredIsNotTakenForFrozen() {
        let outcome = outcome(of: [(0, Self.slow)], users: 8, for: .seconds(4))
        #expect(outcome == Outcome(states: [.up]))
    }

    @Test func withoutSignsOfLifeItWouldBe() {
        let outcome = outcome(of: [(0, Self.slow)], users: 8, for: .seconds(4), without: Self.signs)
        #expect(outcome.frozenAfter != nil)
    }

    /// Much longer than an answer to a check counts.
    @Test func aSlowHostIsUsedAsLongAsItsUsersAreAnswered() {
        let outcome = outcome(of: [(0, Self.slow)], users: 8, for: .seconds(20))
        #expect(outcome == Outcome(states: [.up]))
    }

    /// It was slow once, so that its checks have no session, and there is none to be had.
    @Test func aHostIsUsedAsLongAsItsUsersAreAnsweredThoughThisProcessHasNoDescriptors() {
        let isSlowNoMore = Fault.slow(host: .host(0), milliseconds: 0)
        let faults = [(0, Self.slow), (2_500, .exhaust(true)), (2_600, isSlowNoMore)]
        let outcome = outcome(of: faults, users: 8, for: .seconds(20))
        #expect(outcome == Outcome(states: [.up]))
    }

    /// Nobody knows how far it is behind, whatever it said before it became slow.
    @Test func aSlowReplicaThatIsUsedIsFreshForNobodyWhoAsks() {
        let log = Log()
        let report = Simulation.run(Scenario(seed: 1), configuration: ClusterConfiguration()) { stage in
            try await stage.cluster.ready(primaries: 1, replicas: 2)
            let began = stage.time.now
            try await withThrowingTaskGroup(of: Void.self) { group in
                for user in 0..<8 {
                    group.addTask {
                        try await stage.cluster.withHost(.standby) { db in
                            try await stage.time.sleep(until: began + .milliseconds(200 + 97 * user))
                            while stage.time.now < began + .seconds(12) { try await db.read() }
                        }
                    }
                }
                group.addTask {
                    try await stage.time.sleep(until: began + .milliseconds(200))
                    for host in 1...2 { stage.world.apply(.slow(host: .host(host), milliseconds: 1_300)) }
                    for second in [1, 10] {
                        try await stage.time.sleep(until: began + .seconds(second))
                        let hosts = stage.cluster.snapshot().hosts.dropFirst()
                        log.states.withLock { $0 += hosts.map(\.state) }
                        log.areMeasured.withLock { $0 += hosts.map { $0.lag != nil } }
                    }
                    stage.world.apply(.heal)
                }
                try await group.waitForAll()
            }
        }
        #expect(log.states.withLock { $0 } == [.up, .up, .up, .up])
        #expect(log.areMeasured.withLock { $0 } == [true, true, false, false])
        #expect(report.violations == [])
    }

    @Test(arguments: [0, 1, 8])
    func aHostThatAnswersNobodyIsFoundAsFastAsEver(users: Int) throws {
        let outcome = outcome(of: [(0, Self.freeze)], users: users, for: .seconds(5))
        let ever = self.outcome(of: [(0, Self.freeze)], users: users, for: .seconds(5), without: Self.signs)
        #expect(outcome == ever)
        #expect(try #require(outcome.frozenAfter) < (users == 0 ? .seconds(3.2) : .seconds(2.4)))
    }

    @Test(arguments: [300, 700, 1_100, 1_500])
    func aSlowHostThatFallsSilentIsFoundSoon(after milliseconds: Int) throws {
        let faults = [(0, Self.slow), (milliseconds, Self.freeze)]
        let outcome = outcome(of: faults, users: 8, for: .seconds(6))
        // The answers that were on their way, a check under way while they came, and two checks with pauses between them.
        let bound = Duration.milliseconds(4_900)
        #expect(try #require(outcome.leftAfter) < bound)
        #expect(outcome.violations == [])
    }
}

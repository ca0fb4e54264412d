// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// Answers as it is told.
private final class FakeWitness: PrimaryWitness {
    enum Answer: Sendable {
        case host(String?)
        case error
        /// Ignores the deadline, and its cancellation.
        case never
    }

    struct State: Sendable {
        var answer: Answer
        var questions = 0
        var silent: [CheckedContinuation<Void, Never>] = []
    }

    let state: Guarded<State>

    init(_ answer: Answer) {
        state = Guarded(State(answer: answer))
    }

    var questions: Int { state.withLock { $0.questions } }

    func change(_ answer: Answer) {
        state.withLock { $0.answer = answer }
    }

    /// Lets the calls end that never answered.
    func wake() {
        let silent = state.withLock { state in
            defer { state.silent = [] }
            return state.silent
        }
        for call in silent { call.resume() }
    }

    func primary(deadline: ContinuousClock.Instant) async throws -> String? {
        let answer = state.withLock { state in
            state.questions += 1
            return state.answer
        }
        switch answer {
        case .host(let host): return host
        case .error: throw FakeError(kind: .refused, description: "the witness is away")
        case .never:
            await withCheckedContinuation { call in state.withLock { $0.silent.append(call) } }
            return "db0:5432"
        }
    }
}

/// Fencing policies, adoption and the age of evidence, over servers in memory.
@Suite(.serialized, .timeLimit(.minutes(20))) struct ClusterFencingTests {
    private let servers = (0..<3).map { index in
        FakeServer(
            HostReport(
                isInRecovery: index != 0,
                systemIdentifier: 7,
                timeline: 1,
                incarnation: Int64(index) * 100
            )
        )
    }

    /// - Parameter refreshDelay: Long where a host must not be forgotten, however rarely this process gets to run.
    private func cluster(
        _ fencing: FencingPolicy,
        clock: any ClusterClock = RealTime(),
        refreshDelay: Duration = .milliseconds(20)
    ) async throws -> Cluster<FakeDriver> {
        let cluster = try Cluster(
            endpoints: servers.indices.map { FakeDriver.Endpoint(index: $0) },
            driver: FakeDriver(servers: servers),
            configuration: ClusterConfiguration(
                acquireTimeout: patience,
                refreshDelay: refreshDelay,
                refreshTimeout: .milliseconds(100),
                fencing: fencing
            ),
            clock: clock
        )
        try await cluster.ready(timeout: patience)
        return cluster
    }

    /// One that finds both primaries answering when the second server is promoted beside the first.
    private func disputed(_ fencing: FencingPolicy) async throws -> Cluster<FakeDriver> {
        let cluster = try await cluster(fencing, refreshDelay: .seconds(60))
        servers[1].promote(to: 2)
        cluster.core.checkNow()
        return cluster
    }

    @Test func byDefaultTheHighestTimelineIsFollowedThoughTheOldPrimaryAnswers() async throws {
        let cluster = try await cluster(.follow)
        servers[1].promote(to: 2)
        #expect(await eventually { cluster.snapshot().primary == "db1:5432" })
        #expect(await eventually { cluster.snapshot().hosts[0].state == .quarantined })
        await cluster.close()
    }

    @Test func refusedWritesWaitUntilTheOperatorDecides() async throws {
        let cluster = try await disputed(.refuse)
        #expect(await eventually { cluster.snapshot().primary == nil })
        let write = Task { try await cluster.write { try $0.execute("write") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        try cluster.adoptPrimary(FakeDriver.Endpoint(index: 1))
        try await write.value
        #expect(servers[1].statements == ["write"])
        #expect(servers[0].statements.isEmpty)
        await cluster.close()
    }

    @Test func theWitnessDecides() async throws {
        let witness = FakeWitness(.host("db0:5432"))
        let cluster = try await disputed(.witness(witness))
        #expect(await eventually { witness.questions > 0 && cluster.snapshot().primary == "db0:5432" })
        try await cluster.write { try $0.execute("write") }
        #expect(servers[0].statements == ["write"])
        #expect(cluster.snapshot().hosts[1].state == .quarantined)
        await cluster.close()
    }

    @Test(arguments: [0, 1])
    func aWitnessThatDoesNotAnswerIsAskedAgain(silence: Int) async throws {
        let witness = FakeWitness([.error, .host(nil)][silence])
        let cluster = try await disputed(.witness(witness))
        #expect(await eventually { witness.questions >= 1 && cluster.snapshot().primary == nil })
        witness.change(.host("db1:5432"))
        #expect(await eventually { cluster.snapshot().primary == "db1:5432" })
        #expect(witness.questions >= 2)
        try await cluster.write { try $0.execute("write") }
        #expect(servers[1].statements == ["write"])
        await cluster.close()
    }

    @Test func aWitnessThatDoesNotReturnIsNotAskedMeanwhile() async throws {
        let witness = FakeWitness(.never)
        let cluster = try await disputed(.witness(witness))
        // It counts as silent, again and again.
        #expect(await eventually { cluster.core.state.withLock { $0.machine.dispute.questions } >= 3 })
        #expect(witness.questions == 1)
        #expect(cluster.snapshot().primary == nil)
        witness.change(.host("db1:5432"))
        witness.wake()
        #expect(await eventually { cluster.snapshot().primary == "db1:5432" }, "what came too late decides nothing")
        #expect(witness.questions >= 2)
        #expect(servers[0].statements.isEmpty)
        await cluster.close()
    }

    @Test func aClusterClosesWhileItsWitnessIsSilent() async throws {
        let witness = FakeWitness(.never)
        let cluster = try await disputed(.witness(witness))
        #expect(await eventually { witness.questions >= 1 })
        await cluster.close()
        witness.wake()
    }

    @Test func anUpgradedClusterIsUsedOnceItsIdentityIsAdopted() async throws {
        let cluster = try await cluster(.follow)
        for (index, server) in servers.enumerated() {
            server.change { state in
                state.report = HostReport(
                    isInRecovery: index != 0,
                    systemIdentifier: 8,
                    timeline: 1,
                    incarnation: Int64(index) * 100 + 50
                )
            }
        }
        #expect(await eventually { cluster.snapshot().hosts.allSatisfy { $0.state == .quarantined } })
        try cluster.adopt(systemIdentifier: 8)
        try await cluster.ready(timeout: patience)
        try await cluster.write { try $0.execute("write") }
        #expect(servers[0].statements == ["write"])
        #expect(cluster.snapshot().systemIdentifier == 8)
        await cluster.close()
    }

    /// A driver that overruns its deadlines leaves a monitor without an answer and without a proof.
    @Test func aHostWhoseMonitorIsStuckServesNothingOnOldEvidence() async throws {
        let cluster = try await cluster(.follow)
        servers[0].change { $0.condition = .stuck }
        #expect(await eventually { cluster.snapshot().hosts[0].state == .unknown })
        #expect(cluster.snapshot().primary == nil)
        #expect(cluster.snapshot().hosts[0].reason?.contains("older than") == true)
        servers[0].change { $0.condition = .up }
        #expect(await eventually { cluster.snapshot().primary == "db0:5432" })
        await cluster.close()
    }

    /// Nobody is lost for it, and what is watched goes on being watched.
    @Test func aCalmClusterKeepsItsEvidenceFresh() async throws {
        let clock = ManualClock()
        let cluster = try await cluster(.follow, clock: clock)
        let events = cluster.events
        let end = clock.now + cluster.core.configuration.evidenceLife + .milliseconds(200)
        while clock.now < end {
            let before = clock.now
            clock.advance(by: .milliseconds(25))
            let areChecked = await eventually {
                cluster.snapshot().hosts.allSatisfy { ($0.answeredAt ?? before) > before }
            }
            #expect(areChecked)
            if !areChecked { break }
        }
        await cluster.close()
        for await event in events {
            if case .stateChanged = event.kind { Issue.record("\(event)") }
        }
    }
}

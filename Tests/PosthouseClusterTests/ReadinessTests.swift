// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// Waiting for hosts, and asking which there are, over servers in memory.
@Suite(.serialized, .timeLimit(.minutes(20))) struct ReadinessTests {
    private let servers: [FakeServer]
    private let cluster: Cluster<FakeDriver>

    init() throws {
        servers = (0..<3).map { index in
            FakeServer(
                HostReport(isInRecovery: index != 0, systemIdentifier: 7, timeline: 1, incarnation: Int64(index) * 100)
            )
        }
        cluster = try Cluster(
            endpoints: servers.indices.map { FakeDriver.Endpoint(index: $0) },
            driver: FakeDriver(servers: servers),
            configuration: ClusterConfiguration(
                acquireTimeout: patience,
                refreshDelay: .seconds(3600),
                refreshTimeout: .seconds(5)
            ),
            clock: RealTime()
        )
    }

    @Test func eachWaitIsOverWhenItsHostsCanBeUsed() async throws {
        try await cluster.waitPrimariesReady(timeout: patience)
        try await cluster.waitReplicasReady(2, timeout: patience)
        try await cluster.waitAllReady(timeout: patience)
        await cluster.close()
    }

    @Test func waitsCanRunAtTheSameTime() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<20 {
                group.addTask { try await cluster.waitAllReady(timeout: patience) }
                group.addTask { try await cluster.waitReplicasReady(2, timeout: patience) }
                group.addTask { try await cluster.waitNextCheck(timeout: patience) }
            }
            try await group.waitForAll()
        }
        #expect(cluster.core.changes.count == 0)
        #expect(cluster.core.checks.count == 0)
        await cluster.close()
    }

    @Test func whatCanNotBeIsSaidAtTheDeadline() async throws {
        try await cluster.ready(timeout: patience)
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.waitPrimariesReady(2, timeout: .milliseconds(20))
        }
        #expect(error?.code == .notReady)
        #expect(error?.hosts.count == 3)
        await cluster.close()
    }

    @Test func countsBelowZeroAreRefused() async throws {
        for count in [-1, Int.min] {
            let primaries = await #expect(throws: ClusterError.self) { try await cluster.waitPrimariesReady(count) }
            let replicas = await #expect(throws: ClusterError.self) { try await cluster.waitReplicasReady(count) }
            #expect(primaries?.code == .invalidArgument && replicas?.code == .invalidArgument)
        }
        await cluster.close()
    }

    /// The next one would come in an hour.
    @Test func theNextCheckBeginsAtOnceAndIsAfterTheCall() async throws {
        try await cluster.ready(timeout: patience)
        let before = ContinuousClock.now
        try await cluster.waitNextCheck(timeout: patience)
        #expect(cluster.snapshot().hosts.allSatisfy { $0.answeredAt.map { $0 >= before } ?? false })
        await cluster.close()
    }

    @Test func aCheckThatFailsIsACheck() async throws {
        try await cluster.ready(timeout: patience)
        servers[2].crash()
        try await cluster.waitNextCheck(timeout: patience)
        await cluster.close()
    }

    @Test func aHostThatDoesNotAnswerHoldsTheNextCheckUpUntilTheDeadline() async throws {
        try await cluster.ready(timeout: patience)
        servers[2].change { $0.condition = .silent }
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.waitNextCheck(timeout: .milliseconds(50))
        }
        #expect(error?.code == .notReady)
        cluster.terminate()
    }

    @Test func whoWaitsIsToldOfCancellationAndOfTheEnd() async throws {
        try await cluster.ready(timeout: patience)
        servers[2].change { $0.condition = .silent }
        let cancelled = Task { try await cluster.waitNextCheck(timeout: .seconds(3600)) }
        let closed = Task { try await cluster.waitNextCheck(timeout: .seconds(3600)) }
        #expect(await eventually { cluster.core.checks.count == 2 })
        cancelled.cancel()
        await #expect { try await cancelled.value } throws: { ($0 as? ClusterError)?.code == .cancelled }
        cluster.terminate()
        await #expect { try await closed.value } throws: { ($0 as? ClusterError)?.code == .closed }
        await #expect { try await cluster.waitNextCheck() } throws: { ($0 as? ClusterError)?.code == .closed }
    }

    // MARK: - Which hosts

    @Test func poolsAreNamedByRoleAndNeverNone() async throws {
        #expect(try await cluster.primaryPools().map(\.host) == ["db0:5432"])
        try await cluster.ready(timeout: patience)
        #expect(Set(try await cluster.replicaPools().map(\.host)) == ["db1:5432", "db2:5432"])
        #expect(try await cluster.pool().host == "db0:5432")
        #expect(try await cluster.pool(readOnly: true).role == .replica)
        await cluster.close()
    }

    @Test func thePoolWithTheMostFreeConnectionsIsNamed() async throws {
        try await cluster.ready(timeout: patience)
        let lease = try await cluster.acquire(readOnly: true)
        #expect(try await cluster.pool(readOnly: true).host != lease.host)
        try lease.release()
        await cluster.close()
    }

    @Test func withoutAReplicaThePrimaryIsNamedIfItMayBe() async throws {
        try await cluster.ready(timeout: patience)
        for server in servers[1...] { server.crash() }
        // The session that ends is a suspicion, the refusal after it a proof.
        try await cluster.waitNextCheck(timeout: patience)
        #expect(await eventually { cluster.snapshot().replicas.isEmpty })
        #expect(try await cluster.replicaPools(fallbackPrimary: true).map(\.host) == ["db0:5432"])
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.replicaPools(timeout: .milliseconds(20))
        }
        #expect(error?.code == .noReplica)
        // Somebody who waits is told when one is back.
        async let back = cluster.replicaPools()
        servers[1].restart()
        #expect(try await back.map(\.host) == ["db1:5432"])
        await cluster.close()
    }

    @Test func aFallbackForWritesIsRefused() async throws {
        let error = await #expect(throws: ClusterError.self) { try await cluster.pool(fallbackPrimary: true) }
        #expect(error?.code == .invalidArgument)
        await cluster.close()
    }
}

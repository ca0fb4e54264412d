// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// The whole cluster over servers in memory.
@Suite(.serialized, .timeLimit(.minutes(20))) struct ClusterTests {
    private let servers: [FakeServer]
    private let cluster: Cluster<FakeDriver>

    private static func report(_ index: Int, recovering: Bool) -> HostReport {
        HostReport(isInRecovery: recovering, systemIdentifier: 7, timeline: 1, incarnation: Int64(index) * 100)
    }

    private static func make(
        _ servers: [FakeServer],
        _ configure: (inout ClusterConfiguration) -> Void = { _ in },
        onDrop: (@Sendable () -> Void)? = nil
    ) throws -> Cluster<FakeDriver> {
        var configuration = ClusterConfiguration(
            acquireTimeout: patience,
            refreshDelay: .milliseconds(20),
            refreshTimeout: .milliseconds(100)
        )
        configure(&configuration)
        return try Cluster(
            endpoints: servers.indices.map { FakeDriver.Endpoint(index: $0) },
            driver: FakeDriver(servers: servers),
            configuration: configuration,
            clock: RealTime(),
            onDrop: onDrop
        )
    }

    init() throws {
        servers = (0..<3).map { FakeServer(Self.report($0, recovering: $0 != 0)) }
        cluster = try Self.make(servers)
    }

    @Test func writesGoToThePrimaryAndReadsToReplicas() async throws {
        try await cluster.write { try $0.execute("write") }
        for _ in 0..<10 { try await cluster.read { try $0.execute("read") } }
        #expect(servers[0].statements == ["write"])
        #expect(servers[1].statements.count + servers[2].statements.count == 10)
        await cluster.close()
    }

    @Test func writersWaitForThePromotionAndUseTheWarmConnection() async throws {
        try await cluster.ready(timeout: patience)
        while servers[1].statements.isEmpty { try await cluster.read { try $0.execute("read") } }
        let connects = servers[1].connects
        servers[0].crash()
        let write = Task { try await cluster.write { try $0.execute("write") } }
        #expect(await eventually { cluster.snapshot().hosts[0].state == .down && cluster.snapshot().waiting == 1 })
        servers[1].promote(to: 2)
        try await write.value
        #expect(servers[1].statements.last == "write")
        #expect(servers[1].connects == connects, "the connection that served reads took the write")
        await cluster.close()
    }

    @Test func theOldPrimaryBackAsItWasGetsNoStatement() async throws {
        try await cluster.ready(timeout: patience)
        servers[0].crash()
        servers[1].promote(to: 2)
        try await cluster.write { try $0.execute("new") }
        let before = servers[0].statements
        servers[0].restart()
        #expect(await eventually { cluster.snapshot().hosts[0].state == .quarantined })
        for _ in 0..<50 {
            try await cluster.write { try $0.execute("w") }
            try await cluster.read { try $0.execute("r") }
        }
        #expect(servers[0].statements == before)
        #expect(cluster.snapshot().hosts[0].reason == "stale primary: it is on timeline 1, the cluster is on 2")
        await cluster.close()
    }

    @Test func aLeaseOnAFencedPrimaryCannotSend() async throws {
        try await cluster.ready(timeout: patience)
        let lease = try await cluster.acquire()
        let session = lease.session
        try session.execute("before")
        servers[1].promote(to: 2)
        // What the pool says is in force; that the cluster knows a new primary may be a moment earlier.
        #expect(await eventually { cluster.snapshot().hosts[0].pool.serves.isEmpty })
        #expect(throws: PermitDenied.self) { try session.execute("after") }
        #expect(servers[0].statements == ["before"])
        try lease.release()
        await cluster.close()
    }

    @Test func anEscapedHandleIsWorthless() async throws {
        let escaped = try await cluster.write { $0 }
        #expect(throws: PermitDenied.self) { try escaped.execute("late") }
        #expect(servers[0].statements.isEmpty)
        await cluster.close()
    }

    @Test func aTimeoutNamesEveryHostAndItsReason() async throws {
        for server in servers { server.crash() }
        #expect(
            await eventually {
                cluster.snapshot().hosts.allSatisfy { $0.state == .down && $0.pool.serves.isEmpty }
            }
        )
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.write(timeout: .milliseconds(50)) { try $0.execute("never") }
        }
        #expect(error?.code == .noHostReachable)
        for index in 0..<3 { #expect(error?.description.contains("db\(index):5432: down, connection refused") == true) }
        servers[0].restart()
        try await cluster.write { try $0.execute("back") }
        await cluster.close()
    }

    @Test func withoutAPrimaryTheErrorSaysSo() async throws {
        try await cluster.ready(timeout: patience)
        servers[0].crash()
        #expect(await eventually { cluster.snapshot().hosts[0].state == .down })
        #expect(await eventually { cluster.snapshot().hosts[0].pool.serves.isEmpty })
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.write(timeout: .milliseconds(50)) { try $0.execute("never") }
        }
        #expect(error?.code == .noPrimary)
        await cluster.close()
    }

    @Test func readsFallBackToThePrimaryOnlyWhenAsked() async throws {
        try await cluster.ready(timeout: patience)
        servers[1].crash()
        servers[2].crash()
        #expect(await eventually { cluster.snapshot().replicas.isEmpty })
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.read(timeout: .milliseconds(50)) { try $0.execute("never") }
        }
        #expect(error?.code == .noReplica)
        try await cluster.read(fallbackPrimary: true) { try $0.execute("fallback") }
        #expect(servers[0].statements == ["fallback"])
        await cluster.close()
    }

    @Test func aFrozenPrimaryIsLeftAndFencedWhenItThaws() async throws {
        try await cluster.ready(timeout: patience)
        servers[0].change { $0.condition = .silent }
        #expect(await eventually { cluster.snapshot().hosts[0].state == .frozen })
        servers[2].promote(to: 2)
        try await cluster.write { try $0.execute("new") }
        servers[0].change { $0.condition = .up }
        #expect(await eventually { cluster.snapshot().hosts[0].state == .quarantined })
        #expect(servers[0].statements.isEmpty)
        await cluster.close()
    }

    @Test func aConnectionThatReachesAnotherServerIsNotKept() async throws {
        try await cluster.ready(timeout: patience)
        // The address now leads new connections elsewhere, while the monitor still talks to the old server.
        servers[0].change { state in
            state.replacement = HostReport(
                isInRecovery: true,
                systemIdentifier: 7,
                timeline: 1,
                incarnation: 999
            )
        }
        await #expect(throws: ClusterError.self) {
            try await cluster.write(timeout: .milliseconds(100)) { try $0.execute("misled") }
        }
        #expect(servers[0].statements.isEmpty)
        await cluster.close()
    }

    @Test func readinessCountsAreChecked() async throws {
        try await cluster.ready(primaries: 1, replicas: 2, timeout: patience)
        try await cluster.ready(timeout: patience)
        let half = await #expect(throws: ClusterError.self) { try await cluster.ready(primaries: 1) }
        #expect(half?.code == .invalidArgument)
        let negative = await #expect(throws: ClusterError.self) {
            try await cluster.ready(primaries: -1, replicas: 0)
        }
        #expect(negative?.code == .invalidArgument)
        let many = await #expect(throws: ClusterError.self) {
            try await cluster.ready(primaries: 2, replicas: 0, timeout: .milliseconds(20))
        }
        #expect(many?.code == .notReady)
        #expect(many?.hosts.count == 3)
        await cluster.close()
    }

    @Test func waitingForReadinessCanBeCancelled() async throws {
        let waiting = Task { try await cluster.ready(primaries: 2, replicas: 0, timeout: patience) }
        #expect(await eventually { cluster.core.changes.count == 1 })
        waiting.cancel()
        let result = await waiting.result
        #expect(throws: ClusterError.self) { try result.get() }
        #expect(cluster.core.changes.count == 0)
        await cluster.close()
    }

    @Test func aCancelledWriterStopsWaiting() async throws {
        servers[0].crash()
        let write = Task { try await cluster.write { try $0.execute("never") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        write.cancel()
        let error = await #expect(throws: ClusterError.self) { try await write.value }
        #expect(error?.code == .cancelled)
        #expect(cluster.snapshot().waiting == 0)
        await cluster.close()
    }

    @Test func closingLeavesNothingOpen() async throws {
        for _ in 0..<5 {
            try await cluster.write { try $0.execute("w") }
            try await cluster.read { try $0.execute("r") }
        }
        await cluster.close()
        #expect(await eventually { servers.allSatisfy { $0.open == 0 } })
        let error = await #expect(throws: ClusterError.self) { try await cluster.write { try $0.execute("late") } }
        #expect(error?.code == .closed)
    }

    @Test func waitersLearnOfTheClose() async throws {
        servers[0].crash()
        let write = Task { try await cluster.write { try $0.execute("never") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        cluster.terminate()
        let error = await #expect(throws: ClusterError.self) { try await write.value }
        #expect(error?.code == .closed)
    }

    @Test func aDroppedClusterStopsByItselfAndSaysSo() async throws {
        let warned = Guarded(false)
        let servers = (0..<2).map { FakeServer(Self.report($0, recovering: $0 != 0)) }
        do {
            let dropped = try Self.make(servers, onDrop: { warned.withLock { $0 = true } })
            try await dropped.write { try $0.execute("w") }
        }
        #expect(warned.withLock { $0 })
        #expect(await eventually { servers.allSatisfy { $0.open == 0 } })
        await cluster.close()
    }

    @Test func subscribersSeeTheFailover() async throws {
        try await cluster.ready(timeout: patience)
        let events = cluster.events
        servers[0].crash()
        servers[1].promote(to: 2)
        var seen: [ClusterEvent.Kind] = []
        for await event in events {
            seen.append(event.kind)
            if case .primaryElected = event.kind { break }
        }
        #expect(seen.contains(.primaryLost))
        await cluster.close()
    }

    @Test func fallbackForAWriteIsAnArgumentError() async throws {
        do {
            let lease = try await cluster.acquire(readOnly: false, fallbackPrimary: true)
            try lease.release()
            Issue.record("a write has no fallback")
        } catch let error as ClusterError {
            #expect(error.code == .invalidArgument)
        }
        await cluster.close()
    }

    @Test func requestsBeyondTheLimitOfWaitersAreRefusedAtOnce() async throws {
        let cluster = try Self.make(servers) { configuration in
            configuration.pool.maximumSize = 1
            configuration.maximumWaiters = 0
        }
        try await cluster.ready(timeout: patience)
        try await cluster.write { _ in
            let error = await #expect(throws: ClusterError.self) { try await cluster.write { _ in } }
            #expect(error?.code == .exhausted)
            #expect(error?.pool?.code == .exhausted)
        }
        await cluster.close()
        let error = #expect(throws: ClusterError.self) {
            _ = try Self.make(servers) { $0.maximumWaiters = -1 }
        }
        #expect(error?.code == .invalidArgument)
    }

    @Test func hostsShareABudget() async throws {
        let budget = try ConnectionBudget(limit: 2)
        let cluster = try Self.make(servers) { $0.budget = budget }
        try await cluster.ready(timeout: patience)
        for _ in 0..<5 {
            try await cluster.write { try $0.execute("write") }
            try await cluster.read { try $0.execute("read") }
            #expect(budget.used <= 2)
        }
        await cluster.close()
        #expect(budget.used == 0)
    }

    @Test func aClustersErrorsNameTheLineThatHoldsTheConnection() async throws {
        let cluster = try Self.make(servers) { $0.pool.maximumSize = 1 }
        let line = #line + 1
        try await cluster.write { _ in
            let error = await #expect(throws: ClusterError.self) {
                try await cluster.write(timeout: .milliseconds(20)) { _ in }
            }
            let sites = error?.pool?.longestLeases.map(\.site.description)
            #expect(sites == ["PosthouseClusterTests/ClusterTests.swift:\(line)"])
        }
        await cluster.close()
    }

    @Test func whatAValidationFindsOutIsEvidence() async throws {
        let cluster = try Self.make(Array(servers[..<2])) { configuration in
            // No check comes in between.
            configuration.refreshDelay = .seconds(600)
            configuration.pool.maximumSize = 1
            configuration.pool.minimumSize = 1
            configuration.pool.validation = .always
        }
        #expect(await eventually { cluster.snapshot().hosts.allSatisfy { $0.pool.available == 1 } })
        servers[1].promote(to: 2)
        try await cluster.read { _ in }
        #expect(await eventually { cluster.snapshot().primary == "db1:5432" })
        #expect(cluster.snapshot().hosts[0].state == .quarantined)
        await cluster.close()
    }

    @Test func aHostThatServesKeepsItsMinimumOpen() async throws {
        let cluster = try Self.make(servers) { $0.pool.minimumSize = 2 }
        #expect(await eventually { cluster.snapshot().hosts.allSatisfy { $0.pool.size == 2 } })
        servers[0].crash()
        servers[1].promote(to: 2)
        #expect(await eventually { cluster.snapshot().primaries.first.map { $0.pool.size == 2 } == true })
        await cluster.close()
    }
}

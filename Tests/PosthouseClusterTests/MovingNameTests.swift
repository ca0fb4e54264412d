// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// One name, behind which the server changes: a name that is resolved elsewhere, a service, a load balancer.
@Suite(.serialized, .timeLimit(.minutes(20))) struct MovingNameTests {
    private let name: FakeServer
    private let cluster: Cluster<FakeDriver>

    init() throws {
        name = FakeServer(HostReport(isInRecovery: false, systemIdentifier: 7, timeline: 3, incarnation: 100))
        cluster = try Cluster(
            endpoints: [.init(index: 0)],
            driver: FakeDriver(servers: [name]),
            configuration: ClusterConfiguration(
                acquireTimeout: patience,
                refreshDelay: .milliseconds(20),
                refreshTimeout: .seconds(4)
            ),
            clock: RealTime()
        )
    }

    /// The former server's sessions end, and new ones reach another server.
    private func lead(to report: HostReport) {
        name.change { $0.report = report }
    }

    @Test func writesGoOnAtTheServerThatTookOver() async throws {
        let lease = try await cluster.acquire()
        try lease.session.execute("before")
        lead(to: HostReport(isInRecovery: false, systemIdentifier: 7, timeline: 4, incarnation: 200))
        #expect(throws: (any Error).self) { try lease.session.execute("lost") }
        try? lease.release()
        #expect(await eventually { cluster.snapshot().timeline == 4 })
        try await cluster.write { try $0.execute("after") }
        #expect(name.statements == ["before", "after"])
        await cluster.close()
    }

    @Test func whileTheNameLeadsToAReplicaWritersWait() async throws {
        try await cluster.ready(timeout: patience)
        lead(to: HostReport(isInRecovery: true, systemIdentifier: 7, timeline: 3, incarnation: 200))
        #expect(await eventually { cluster.snapshot().hosts[0].role == .replica })
        let write = Task { try await cluster.write { try $0.execute("w") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        name.promote(to: 4)
        try await write.value
        #expect(name.statements == ["w"])
        await cluster.close()
    }

    @Test func aNameThatLeadsBackToAStalePrimaryIsNotFollowed() async throws {
        try await cluster.ready(timeout: patience)
        lead(to: HostReport(isInRecovery: false, systemIdentifier: 7, timeline: 2, incarnation: 50))
        #expect(await eventually { cluster.snapshot().hosts[0].state == .quarantined })
        #expect(await eventually { cluster.snapshot().hosts[0].pool.serves.isEmpty })
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.write(timeout: .milliseconds(50)) { try $0.execute("never") }
        }
        #expect(error?.code == .noPrimary)
        #expect(name.statements.isEmpty)
        lead(to: HostReport(isInRecovery: false, systemIdentifier: 7, timeline: 3, incarnation: 300))
        try await cluster.write { try $0.execute("w") }
        await cluster.close()
    }

    /// While nobody is the primary, the sessions of the checks are compared with new ones now and then.
    @Test(arguments: [FakeServer.NewMonitors.keptOut, .ignored])
    func aSecondLookThatTakesTooLongDoesNotCostTheFirst(newMonitors: FakeServer.NewMonitors) async throws {
        lead(to: HostReport(isInRecovery: true, systemIdentifier: 7, timeline: 3, incarnation: 200))
        #expect(await eventually { cluster.snapshot().hosts[0].role == .replica })
        name.change { $0.newMonitors = newMonitors }
        #expect(await eventually { name.state.withLock { $0.disregarded } > 0 })
        name.promote(to: 4)
        try await cluster.write { try $0.execute("w") }
        #expect(name.statements == ["w"])
        await cluster.close()
        #expect(name.open == 0)
    }

    @Test func aNameThatLeadsToAnotherClusterIsNotFollowed() async throws {
        try await cluster.ready(timeout: patience)
        lead(to: HostReport(isInRecovery: false, systemIdentifier: 8, timeline: 9, incarnation: 300))
        #expect(await eventually { cluster.snapshot().hosts[0].state == .quarantined })
        #expect(name.statements.isEmpty)
        lead(to: HostReport(isInRecovery: false, systemIdentifier: 7, timeline: 3, incarnation: 400))
        try await cluster.write { try $0.execute("w") }
        await cluster.close()
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// Hosts that come and go under a running cluster of servers in memory.
@Suite(.serialized, .timeLimit(.minutes(20))) struct ClusterMembershipTests {
    private let servers = (0..<4).map { index in
        FakeServer(
            HostReport(
                isInRecovery: index != 0,
                systemIdentifier: 7,
                timeline: 1,
                incarnation: Int64(index) * 100
            )
        )
    }

    private func host(_ index: Int) -> FakeDriver.Endpoint { FakeDriver.Endpoint(index: index) }

    /// Of the first hosts.
    private func cluster(_ count: Int = 3) async throws -> Cluster<FakeDriver> {
        let cluster = try Cluster(
            endpoints: (0..<count).map(host),
            driver: FakeDriver(servers: servers),
            configuration: ClusterConfiguration(
                acquireTimeout: patience,
                refreshDelay: .milliseconds(20),
                refreshTimeout: .milliseconds(100)
            ),
            clock: RealTime()
        )
        try await cluster.ready(timeout: patience)
        return cluster
    }

    private func expectError(_ code: ClusterError.Code, _ body: () throws(ClusterError) -> Void) {
        #expect(throws: ClusterError.self) {
            do throws(ClusterError) {
                try body()
            } catch {
                #expect(error.code == code)
                throw error
            }
        }
    }

    @Test func anAddedHostServesReads() async throws {
        let cluster = try await cluster(2)
        try cluster.addHost(host(3))
        try await cluster.ready(timeout: patience)
        #expect(cluster.endpoints == [host(0), host(1), host(3)])
        #expect(await eventually { cluster.snapshot().hosts.map(\.host) == ["db0:5432", "db1:5432", "db3:5432"] })
        servers[1].crash()
        #expect(await eventually { cluster.snapshot().hosts[1].state == .down })
        #expect(await eventually { cluster.snapshot().hosts[1].pool.serves.isEmpty })
        try await cluster.read { try $0.execute("read") }
        #expect(servers[3].statements == ["read"])
        await cluster.close()
        #expect(await eventually { servers.allSatisfy { $0.open == 0 } })
    }

    @Test func anAddedHostThatIsPromotedTakesTheWrites() async throws {
        let cluster = try await cluster(2)
        try cluster.addHost(host(3))
        try await cluster.ready(timeout: patience)
        servers[0].crash()
        servers[3].promote(to: 2)
        try await cluster.write { try $0.execute("write") }
        #expect(servers[3].statements == ["write"])
        await cluster.close()
    }

    @Test func aDrainedHostGetsNothingNewAndItsConnectionsEndWhenTheyComeBack() async throws {
        let cluster = try await cluster(2)
        try await cluster.read { try $0.execute("before") }
        let lease = try await cluster.acquire(readOnly: true)
        try cluster.drainHost(host(1))
        #expect(await eventually { cluster.snapshot().replicas.isEmpty })
        #expect(cluster.snapshot().hosts[1].isDrained)
        try lease.session.execute("work in progress ends in peace")
        #expect(servers[1].open == 2, "the lease and the monitor")
        try lease.release()
        #expect(await eventually { servers[1].open == 1 }, "it is still watched")
        try await cluster.ready(timeout: patience)
        await #expect(throws: ClusterError.self) { try await cluster.read(timeout: .milliseconds(50)) { _ in } }
        try cluster.undrainHost(host(1))
        try await cluster.read { try $0.execute("after") }
        #expect(servers[1].statements.last == "after")
        await cluster.close()
    }

    @Test func writesWaitWhileThePrimaryIsDrainedAndFollowItsSuccessor() async throws {
        let cluster = try await cluster()
        try cluster.drainHost(host(0))
        #expect(await eventually { cluster.snapshot().primary == nil })
        let write = Task { try await cluster.write { try $0.execute("switched over") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        servers[1].promote(to: 2)
        try await write.value
        #expect(servers[1].statements == ["switched over"])
        #expect(servers[0].statements.isEmpty)
        await cluster.close()
    }

    @Test func aRemovedHostIsLeftAlone() async throws {
        let cluster = try await cluster()
        try await cluster.read { try $0.execute("read") }
        let lease = try await cluster.acquire()
        try cluster.removeHost(host(1))
        try cluster.removeHost(host(0))
        #expect(await eventually { servers[1].open == 0 }, "neither pool nor monitor")
        #expect(throws: PermitDenied.self) { try lease.session.execute("nobody would see that it is replaced") }
        try? lease.release()
        #expect(await eventually { servers[0].open == 0 })
        #expect(cluster.snapshot().hosts.map(\.host) == ["db2:5432"])
        servers[2].promote(to: 2)
        try await cluster.write { try $0.execute("write") }
        #expect(servers[2].statements.last == "write")
        await cluster.close()
    }

    @Test func readsOnARemovedReplicaMayEnd() async throws {
        let cluster = try await cluster(2)
        let lease = try await cluster.acquire(readOnly: true)
        try cluster.removeHost(host(1))
        #expect(await eventually { cluster.snapshot().hosts.count == 1 })
        try lease.session.execute("the end of a read")
        try lease.release()
        #expect(await eventually { servers[1].open == 0 })
        await cluster.close()
    }

    @Test func aHostMayComeAndGoManyTimes() async throws {
        let cluster = try await cluster(2)
        for round in 1...20 {
            try cluster.removeHost(host(1))
            try cluster.addHost(host(1))
            try await cluster.read { try $0.execute("\(round)") }
        }
        #expect(servers[1].statements.count == 20)
        #expect(cluster.core.group.snapshot().members.count == 2)
        await cluster.close()
        #expect(await eventually { servers.allSatisfy { $0.open == 0 } })
    }

    @Test func hostsMayComeAndGoFromManyTasksAtOnce() async throws {
        let cluster = try await cluster(1)
        await withTaskGroup(of: Void.self) { tasks in
            for index in 1...3 {
                tasks.addTask {
                    for _ in 0..<30 {
                        try? cluster.addHost(FakeDriver.Endpoint(index: index))
                        try? cluster.drainHost(FakeDriver.Endpoint(index: index))
                        try? cluster.undrainHost(FakeDriver.Endpoint(index: index))
                        if Bool.random() { await Task.yield() }
                        try? cluster.removeHost(FakeDriver.Endpoint(index: index))
                    }
                    try? cluster.addHost(FakeDriver.Endpoint(index: index))
                }
            }
            tasks.addTask {
                for _ in 0..<100 { _ = try? await cluster.write { try $0.execute("write") } }
            }
        }
        try await cluster.ready(primaries: 1, replicas: 3, timeout: patience)
        #expect(servers[0].statements.count == 100)
        await cluster.close()
        #expect(await eventually { servers.allSatisfy { $0.open == 0 } })
    }

    @Test func hostsThatMakeNoSenseAreTypedErrors() async throws {
        let cluster = try await cluster(1)
        expectError(.duplicateHost) { () throws(ClusterError) in try cluster.addHost(host(0)) }
        expectError(.unknownHost) { () throws(ClusterError) in try cluster.removeHost(host(1)) }
        expectError(.unknownHost) { () throws(ClusterError) in try cluster.drainHost(host(1)) }
        expectError(.unknownHost) { () throws(ClusterError) in try cluster.undrainHost(host(1)) }
        expectError(.unknownHost) { () throws(ClusterError) in try cluster.adoptPrimary(host(1)) }
        expectError(.lastHost) { () throws(ClusterError) in try cluster.removeHost(host(0)) }
        try cluster.addHost(host(1))
        try cluster.removeHost(host(1))
        expectError(.unknownHost) { () throws(ClusterError) in try cluster.removeHost(host(1)) }
        await cluster.close()
        expectError(.closed) { () throws(ClusterError) in try cluster.addHost(host(2)) }
        expectError(.closed) { () throws(ClusterError) in try cluster.removeHost(host(0)) }
        expectError(.closed) { () throws(ClusterError) in try cluster.adopt(systemIdentifier: 8) }
    }

    @Test func subscribersHearOfIt() async throws {
        let cluster = try await cluster(2)
        let events = cluster.events
        try cluster.addHost(host(2))
        try cluster.drainHost(host(2))
        try cluster.undrainHost(host(2))
        try cluster.removeHost(host(2))
        var seen: [ClusterEvent.Kind] = []
        for await event in events where event.host == "db2:5432" {
            seen.append(event.kind)
            if event.kind == .removed { break }
        }
        let told = seen.filter { [.added, .drained, .undrained, .removed].contains($0) }
        #expect(told == [.added, .drained, .undrained, .removed])
        await cluster.close()
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// Where a cluster's connections go, over servers in memory.
@Suite(.serialized, .timeLimit(.minutes(20))) struct ClusterRoutingTests {
    private let servers: [FakeServer]

    init() {
        servers = (0..<3).map { index in
            FakeServer(
                HostReport(
                    isInRecovery: index != 0,
                    systemIdentifier: 7,
                    timeline: 1,
                    incarnation: Int64(index) * 100
                )
            )
        }
    }

    /// All hosts have an idle connection.
    private func cluster(
        seed: UInt64 = 1,
        _ configure: (inout ClusterConfiguration) -> Void = { _ in }
    ) async throws -> Cluster<FakeDriver> {
        var configuration = ClusterConfiguration(
            acquireTimeout: patience,
            refreshDelay: .milliseconds(20),
            refreshTimeout: .milliseconds(100)
        )
        configuration.pool.minimumSize = 1
        configure(&configuration)
        let cluster = try Cluster(
            endpoints: servers.indices.map { FakeDriver.Endpoint(index: $0) },
            driver: FakeDriver(servers: servers),
            configuration: configuration,
            clock: RealTime(),
            random: SeededRandom(seed).next
        )
        try await cluster.ready(timeout: patience)
        #expect(await eventually { cluster.snapshot().hosts.allSatisfy { $0.pool.available > 0 } })
        return cluster
    }

    private func index(_ session: FakeSession) -> Int { servers.firstIndex { $0 === session.host }! }

    private func reads(_ cluster: Cluster<FakeDriver>, _ times: Int, weight: Double? = nil) async throws -> [Int] {
        var counts = servers.map { _ in 0 }
        for _ in 0..<times { counts[try await cluster.read(primaryAsReplicaWeight: weight) { index($0) }] += 1 }
        return counts
    }

    private func measured(_ cluster: Cluster<FakeDriver>, _ label: String) -> HostGauge? {
        cluster.core.router.hosts.withLock { hosts in hosts.first { $0.label == label }?.gauge }
    }

    /// Until nothing is sent there any more: that it is down is known a moment before.
    private func gone(_ index: Int, _ cluster: Cluster<FakeDriver>) async {
        servers[index].crash()
        #expect(
            await eventually {
                let host = cluster.snapshot().hosts[index]
                return host.state == .down && host.pool.serves.isEmpty
            }
        )
    }

    // MARK: - The primary among the readers

    @Test(arguments: [0.1, 0.3, 0.9])
    func theWeightIsTheProbabilityThatThePrimaryServesARead(_ weight: Double) async throws {
        let cluster = try await cluster { $0.primaryAsReplicaWeight = weight }
        let counts = try await reads(cluster, 3_000)
        #expect(chiSquare([counts[0], counts[1] + counts[2]], [weight, 1 - weight]) < 20)
        let other = try await reads(cluster, 3_000, weight: 0.5)
        #expect(chiSquare([other[0], other[1] + other[2]], [1, 1]) < 20, "of each call")
        await cluster.close()
    }

    @Test func theExtremesLeaveNothingToChance() async throws {
        let cluster = try await cluster()
        #expect(try await reads(cluster, 100, weight: 1) == [100, 0, 0])
        #expect(try await reads(cluster, 100, weight: 0)[0] == 0)
        #expect(try await reads(cluster, 100)[0] == 0)
        await cluster.close()
    }

    @Test func whoeverIsDrawnAndNotThereIsReplacedWithoutWaiting() async throws {
        let cluster = try await cluster()
        await gone(0, cluster)
        #expect(try await reads(cluster, 50, weight: 1)[0] == 0)
        servers[0].restart()
        #expect(await eventually { cluster.snapshot().primaries.count == 1 })
        await gone(1, cluster)
        await gone(2, cluster)
        #expect(try await reads(cluster, 50, weight: 0.1) == [50, 0, 0])
        let lease = try await cluster.acquireReplica(primaryAsReplicaWeight: 0.001)
        #expect(lease.host == "db0:5432")
        try lease.release()
        await cluster.close()
    }

    @Test(arguments: [-0.1, 1.1, .nan, .infinity])
    func aWeightThatIsNoProbabilityIsAnArgumentError(_ weight: Double) async throws {
        let cluster = try await cluster()
        let read = await #expect(throws: ClusterError.self) {
            try await cluster.read(primaryAsReplicaWeight: weight) { _ in }
        }
        #expect(read?.code == .invalidArgument)
        let acquire = await #expect(throws: ClusterError.self) {
            try await cluster.acquire(readOnly: true, primaryAsReplicaWeight: weight).release()
        }
        #expect(acquire?.code == .invalidArgument)
        await cluster.close()
        let configuration = await #expect(throws: ClusterError.self) {
            _ = try await self.cluster { $0.primaryAsReplicaWeight = weight }
        }
        #expect(configuration?.code == .invalidArgument)
    }

    @Test func aWeightForAWriteIsAnArgumentError() async throws {
        let cluster = try await cluster()
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.acquire(primaryAsReplicaWeight: 0.5).release()
        }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("primaryAsReplicaWeight") == true)
        await cluster.close()
    }

    @Test(arguments: [Double.nan, -1, .infinity])
    func aHostsWeightMustBeAWeight(_ weight: Double) async throws {
        let error = await #expect(throws: ClusterError.self) {
            _ = try await cluster { $0.hostWeights = ["db1:5432": weight] }
        }
        #expect(error?.code == .invalidArgument)
    }

    // MARK: - Targets

    @Test func eachTargetGetsTheHostsThatItNames() async throws {
        let cluster = try await cluster()
        for _ in 0..<20 {
            #expect(try await cluster.withHost(.readWrite) { index($0) } == 0)
            #expect(try await cluster.withHost(.primary) { index($0) } == 0)
            #expect(try await cluster.withHost(.standby) { index($0) } != 0)
            #expect(try await cluster.withHost(.readOnly) { index($0) } != 0)
            #expect(try await cluster.withHost(.preferStandby) { index($0) } != 0)
            _ = try await cluster.withHost(.any) { index($0) }
        }
        let lease = try await cluster.acquire(.standby)
        #expect(lease.host != "db0:5432")
        try lease.release()
        await cluster.close()
    }

    @Test func aReadOnlyPrimaryIsAPrimaryAndReadOnly() async throws {
        servers[0].change { $0.report.isReadOnly = true }
        let cluster = try await cluster { $0.acquireTimeout = patience }
        #expect(cluster.snapshot().hosts[0].serves == .readOnlyPrimary)
        #expect(try await cluster.withHost(.primary) { index($0) } == 0)
        #expect(try await cluster.withHost([.readWrite, .primary]) { index($0) } == 0)
        let write = await #expect(throws: ClusterError.self) {
            try await cluster.withHost(.readWrite, timeout: .milliseconds(20)) { _ in }
        }
        #expect(write?.code == .noPrimary)
        await gone(1, cluster)
        await gone(2, cluster)
        #expect(try await cluster.withHost(.readOnly) { index($0) } == 0)
        #expect(try await cluster.withHost(.preferStandby) { index($0) } == 0)
        #expect(try await cluster.read { index($0) } == 0)
        let standby = await #expect(throws: ClusterError.self) {
            try await cluster.withHost(.standby, timeout: .milliseconds(20)) { _ in }
        }
        #expect(standby?.code == .noReplica)
        await cluster.close()
    }

    @Test func aChainGoesOnWhileNobodyServesItsEarlierSteps() async throws {
        let cluster = try await cluster()
        let chain: HostTarget = [.standby, .readWrite]
        #expect(try await cluster.withHost(chain) { index($0) } != 0)
        await gone(1, cluster)
        await gone(2, cluster)
        #expect(try await cluster.withHost(chain) { index($0) } == 0)
        await gone(0, cluster)
        let waiting = Task { try await cluster.withHost(chain) { index($0) } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        servers[2].restart()
        #expect(try await waiting.value == 2, "whoever comes first")
        await cluster.close()
    }

    @Test func aTargetWithoutHostsIsAnArgumentError() async throws {
        let cluster = try await cluster()
        let error = await #expect(throws: ClusterError.self) { try await cluster.withHost([]) { _ in } }
        #expect(error?.code == .invalidArgument)
        await cluster.close()
    }

    @Test func oneHostCanBeChosen() async throws {
        let cluster = try await cluster()
        for index in servers.indices {
            #expect(try await cluster.withHost(named: "db\(index):5432") { self.index($0) } == index)
            let lease = try await cluster.acquire(from: "db\(index):5432")
            #expect(lease.host == "db\(index):5432")
            try lease.release()
        }
        let unknown = await #expect(throws: ClusterError.self) {
            try await cluster.acquire(from: "db9:5432").release()
        }
        #expect(unknown?.code == .invalidArgument)
        await gone(1, cluster)
        let down = await #expect(throws: ClusterError.self) {
            try await cluster.acquire(from: "db1:5432", timeout: .milliseconds(20)).release()
        }
        #expect(down?.code == .noHostReachable)
        #expect(down?.message.contains("db1:5432") == true)
        await cluster.close()
    }

    @Test func theFormsOfOldGetTheSameHosts() async throws {
        let cluster = try await cluster()
        let primary = try await cluster.acquirePrimary()
        let replica = try await cluster.acquireReplica()
        let byDefault = try await cluster.acquire()
        let forReading = try await cluster.acquire(readOnly: true)
        #expect([primary.host, byDefault.host] == ["db0:5432", "db0:5432"])
        #expect(replica.host != "db0:5432" && forReading.host != "db0:5432")
        try primary.release()
        try replica.release()
        try byDefault.release()
        try forReading.release()
        await gone(1, cluster)
        await gone(2, cluster)
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.acquireReplica(timeout: .milliseconds(20)).release()
        }
        #expect(error?.code == .noReplica)
        let fallback = try await cluster.acquireReplica(fallbackPrimary: true)
        #expect(fallback.host == "db0:5432")
        try fallback.release()
        await cluster.close()
    }

    // MARK: - Balancing

    @Test func readersTakeTurns() async throws {
        let cluster = try await cluster { $0.balancing = .roundRobin }
        #expect(try await reads(cluster, 200) == [0, 100, 100])
        await gone(1, cluster)
        #expect(try await reads(cluster, 50) == [0, 0, 50])
        await cluster.close()
    }

    @Test func readersStayInTheirZone() async throws {
        let cluster = try await cluster {
            $0.zone = "a"
            $0.hostZones = ["db2:5432": "a", "db1:5432": "b"]
        }
        #expect(try await reads(cluster, 100) == [0, 0, 100])
        await gone(2, cluster)
        #expect(try await reads(cluster, 20) == [0, 20, 0])
        await cluster.close()
    }

    @Test func aHostWithoutWeightIsSparedButNobodyWaitsBecauseOfThat() async throws {
        let cluster = try await cluster {
            $0.hostWeights = ["db1:5432": 0]
            $0.pool.maximumSize = 1
        }
        #expect(try await reads(cluster, 50) == [0, 0, 50])
        let lease = try await cluster.acquire(readOnly: true)
        #expect(lease.host == "db2:5432")
        #expect(try await reads(cluster, 1) == [0, 1, 0])
        try lease.release()
        await cluster.close()
    }

    @Test func whatIsInUseCountsAgainstAHost() async throws {
        let cluster = try await cluster { $0.balancing = .leastLoad }
        _ = try await reads(cluster, 20)
        let lease = try await cluster.acquire(from: "db1:5432")
        #expect(try await reads(cluster, 50).reduce(0, +) == 50)
        #expect(measured(cluster, "db1:5432")?.inUse == 1)
        try lease.release()
        #expect(measured(cluster, "db1:5432")?.inUse == 0)
        #expect(measured(cluster, "db2:5432")?.averageUse != nil)
        await cluster.close()
    }

    /// Somebody who thinks for long between two statements does not make a host slow.
    @Test func leastLoadGoesByStatementsAndNotByLeases() async throws {
        let cluster = try await cluster { $0.balancing = .leastLoad }
        servers[1].change { $0.responseTime = .milliseconds(1) }
        servers[2].change { $0.responseTime = .milliseconds(50) }
        for host in ["db1:5432", "db2:5432"] {
            let lease = try await cluster.acquire(from: host)
            for _ in 0..<3 { try lease.session.execute("statement") }
            if host == "db1:5432" { try await Task.sleep(for: .milliseconds(50)) }
            try lease.release()
        }
        #expect(measured(cluster, "db1:5432")?.averageResponse == .milliseconds(1))
        let counts = try await reads(cluster, 200)
        #expect(counts[1] > 180 && counts[0] == 0, "now and then the slow one is measured again")
        await cluster.close()
    }

    @Test(arguments: [false, true])
    func nobodyMeasuresStatementsForAPolicyThatDoesNotAsk(isMeasured: Bool) async throws {
        let cluster = try await cluster { $0.balancing = isMeasured ? .leastLoad : .roundRobin }
        for server in servers { server.change { $0.responseTime = .milliseconds(1) } }
        try await cluster.write { try $0.execute("statement") }
        #expect((measured(cluster, "db0:5432")?.averageResponse != nil) == isMeasured)
        await cluster.close()
    }

    /// Its pool is empty, and greed would send everything there.
    @Test func aReplicaThatComesBackGetsLittleAtFirst() async throws {
        let cluster = try await cluster()
        await gone(1, cluster)
        #expect(await eventually { cluster.snapshot().hosts[1].pool.size == 0 })
        servers[1].restart()
        #expect(
            await eventually {
                let pool = cluster.snapshot().hosts[1].pool
                return pool.available > 0 && !pool.serves.isEmpty
            }
        )
        // It would be half of them.
        let counts = try await reads(cluster, 400)
        let weight = try #require(cluster.snapshot().hosts.first { $0.host == "db1:5432" }).slowStartWeight
        #expect(counts[1] > 0)
        #expect(Double(counts[1]) < 400 * max(0.25, 0.75 * weight))
        await cluster.close()
    }

    @Test func aUsersPolicyIsAsked() async throws {
        let cluster = try await cluster { configuration in
            configuration.balancing = WeightedBalancing { $0.host == "db1:5432" ? 1 : 0 }
        }
        #expect(try await reads(cluster, 50) == [0, 50, 0])
        #expect(try await cluster.write { index($0) } == 0, "where there is no choice it is not")
        await cluster.close()
    }
}

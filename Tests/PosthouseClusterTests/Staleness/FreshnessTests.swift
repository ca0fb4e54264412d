// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// Reads within a lag and after a token, over servers in memory that say where they are.
@Suite(.serialized, .timeLimit(.minutes(20))) struct FreshnessTests {
    private let servers: [FakeServer]
    private let cluster: Cluster<FakeDriver>

    init() throws {
        servers = (0..<3).map { index in
            FakeServer(
                HostReport(
                    isInRecovery: index != 0,
                    systemIdentifier: 7,
                    timeline: 1,
                    incarnation: Int64(index) * 100,
                    position: 1000
                )
            )
        }
        cluster = try Self.cluster(of: servers)
    }

    private static func cluster(
        of servers: [FakeServer],
        pool: PoolConfiguration = PoolConfiguration()
    ) throws -> Cluster<FakeDriver> {
        try Cluster(
            endpoints: servers.indices.map { FakeDriver.Endpoint(index: $0) },
            driver: FakeDriver(servers: servers),
            configuration: ClusterConfiguration(
                pool: pool,
                acquireTimeout: patience,
                refreshDelay: .milliseconds(20),
                refreshTimeout: .seconds(5)
            ),
            clock: RealTime()
        )
    }

    private func write(to position: UInt64) { servers[0].change { $0.report.position = position } }
    private func replay(_ server: Int, to position: UInt64) { servers[server].change { $0.report.position = position } }

    private func readers(_ limit: LagLimit, fallbackPrimary: Bool = false) async throws -> Set<Int> {
        var readers: Set<Int> = []
        for _ in 0..<12 {
            readers.insert(
                try await cluster.read(maxLag: limit, fallbackPrimary: fallbackPrimary) { session in
                    servers.firstIndex { $0 === session.host } ?? -1
                }
            )
        }
        return readers
    }

    /// Waits until all these are read from, and nobody else: what changed takes effect a moment later, when the thread that works
    /// for the cluster has come to it.
    private func areRead(_ expected: Set<Int>, _ limit: LagLimit, fallbackPrimary: Bool = false) async throws -> Bool {
        let deadline = ContinuousClock.now + patience
        while try await readers(limit, fallbackPrimary: fallbackPrimary) != expected {
            if ContinuousClock.now > deadline { return false }
            try await Task.sleep(for: .milliseconds(10))
        }
        return true
    }

    private func lags() -> [UInt64?] { cluster.snapshot().hosts.map { $0.lag?.bytes } }

    @Test func onlyReplicasWithinTheLimitAreReadFrom() async throws {
        #expect(await eventually { lags() == [nil, 0, 0] })
        #expect(try await areRead([1, 2], .bytes(0)))
        write(to: 5000)
        replay(2, to: 5000)
        #expect(await eventually { lags() == [nil, 4000, 0] })
        #expect(try await areRead([2], .bytes(3999)))
        #expect(try await areRead([1, 2], .bytes(4000)))
        await cluster.close()
    }

    @Test func whoWaitsIsServedByTheReplicaThatCatchesUp() async throws {
        #expect(await eventually { lags() == [nil, 0, 0] })
        write(to: 5000)
        #expect(await eventually { lags() == [nil, 4000, 4000] })
        #expect(try await areRead([0], .bytes(10), fallbackPrimary: true))
        let waiting = Task { try await cluster.read(maxLag: .bytes(10)) { $0.host === servers[2] } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        replay(2, to: 5000)
        #expect(try await waiting.value)
        await cluster.close()
    }

    /// It keeps every limit, and is not there for reads: the primary is.
    @Test func aReplicaThatIsToGetNoReadsGetsNone() async throws {
        #expect(await eventually { lags() == [nil, 0, 0] })
        cluster.core.withhold { $0.readless = [FakeDriver.Endpoint(index: 1)] }
        #expect(try await areRead([2], .bytes(0)))
        cluster.core.withhold { $0.readless.insert(FakeDriver.Endpoint(index: 2)) }
        #expect(try await areRead([0], .bytes(0), fallbackPrimary: true))
        cluster.core.withhold { $0.readless = [] }
        #expect(try await areRead([1, 2], .bytes(0)))
        await cluster.close()
    }

    @Test func aTokenIsServedByWhoeverIsKnownToHaveIt() async throws {
        #expect(await eventually { lags() == [nil, 0, 0] })
        write(to: 5000)
        replay(1, to: 5000)
        #expect(await eventually { lags() == [nil, 0, 4000] })
        let token = CommitToken(systemIdentifier: 7, timeline: 1, position: 5000)
        for _ in 0..<10 {
            #expect(try await cluster.read(after: token, fallbackPrimary: false) { $0.host === servers[1] })
        }
        // Nobody has this one, and this driver cannot wait for it.
        let later = CommitToken(systemIdentifier: 7, timeline: 1, position: 6000)
        #expect(try await cluster.read(after: later) { $0.host === servers[0] })
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.read(after: later, fallbackPrimary: false) { _ in }
        }
        #expect(error?.code == .tokenNotReached)
        await cluster.close()
    }

    /// The other replica is asked meanwhile, and is too far behind.
    @Test func whoeverIsKnownToHaveATokenIsWaitedForWhileItIsBusy() async throws {
        await cluster.close()
        let narrow = try Self.cluster(of: servers, pool: PoolConfiguration(maximumSize: 1))
        write(to: 5000)
        replay(1, to: 5000)
        #expect(await eventually { narrow.snapshot().hosts.map { $0.lag?.bytes } == [nil, 0, 4000] })
        let token = CommitToken(systemIdentifier: 7, timeline: 1, position: 5000)
        // It has a connection, and is not waited for.
        try await narrow.withHost(named: "db2:5432") { _ in }
        let reading = try await narrow.withHost(named: "db1:5432") { _ in
            let reading = Task {
                try await narrow.read(after: token, fallbackPrimary: false) { $0.host === servers[1] }
            }
            #expect(await eventually { narrow.snapshot().waiting == 1 })
            return reading
        }
        #expect(try await reading.value)
        await narrow.close()
    }

    @Test func aTokenOfATimelineToComeIsWaitedFor() async throws {
        #expect(await eventually { lags() == [nil, 0, 0] })
        let token = CommitToken(systemIdentifier: 7, timeline: 2, position: 1000)
        let waiting = Task { try await cluster.read(after: token) { $0.host === servers[1] } }
        servers[0].crash()
        servers[2].crash()
        servers[1].promote(to: 2)
        #expect(try await waiting.value)
        await cluster.close()
    }
}

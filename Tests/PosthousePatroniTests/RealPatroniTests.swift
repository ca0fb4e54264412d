// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthousePatroni
import PosthouseTestKit
import Synchronization
import Testing

/// Against a real Patroni, etcd and PostgreSQL.
@Suite(.serialized, .enabled(if: LocalPatroni.isInstalled), .timeLimit(.minutes(20)))
struct RealPatroniTests {
    private static let table = "CREATE TABLE ledger (id bigint NOT NULL)"

    private func cluster(
        _ source: PatroniSource,
        fencing: FencingPolicy = .follow
    ) throws -> PostgresCluster {
        try PostgresCluster(
            "postgresql://postgres@/postgres?sslmode=disable",
            source: source,
            rules: SourceRules(absences: 2, removalDelay: .seconds(2), drainTimeout: .seconds(5)),
            configuration: ClusterConfiguration(acquireTimeout: .seconds(180), fencing: fencing)
        )
    }

    private func hosts(_ cluster: PostgresCluster) -> Set<String> { Set(cluster.snapshot().hosts.map(\.host)) }

    @Test func fromOneURLAllAreFoundAndASwitchoverInAPauseIsFeltByNobody() async throws {
        try await LocalPatroni.withCluster(.init(lease: .seconds(30), setUp: [Self.table])) { patroni in
            let source = try PatroniSource([patroni.members[2].restURL], refreshInterval: .seconds(1))
            let cluster = try cluster(source, fencing: .witness(source))
            try await cluster.ready(primaries: 1, replicas: 2, timeout: .seconds(180))
            #expect(hosts(cluster) == Set(patroni.members.map(\.node.address)))
            let old = try await patroni.leader()
            #expect(cluster.snapshot().primary == old.node.address)
            #expect(try await source.primary(deadline: .now + .seconds(60)) == old.node.address)

            let writers = Writers(on: cluster, count: 6)
            try await writers.more(100)
            let heir = try #require(patroni.members.first { $0 !== old })
            let began = ContinuousClock.now
            try await cluster.pauseWrites(timeout: .seconds(180)) { try await patroni.switchover(to: heir) }
            let paused = began.duration(to: .now)
            try await writers.more(100)
            let written = await writers.stop()
            print("switchover in \(paused): \(written) writes, \(writers.errors.count) errors")
            #expect(writers.errors.isEmpty, "\(writers.errors.prefix(3))")
            #expect(cluster.snapshot().primary == heir.node.address)
            #expect(try await heir.node.value(of: "SELECT count(*) FROM ledger") == "\(written)")
            #expect(try await heir.node.value(of: "SELECT count(DISTINCT id) FROM ledger") == "\(written)")
            #expect(try await source.primary(deadline: .now + .seconds(60)) == heir.node.address)
            await cluster.close()
        }
    }

    @Test(.enabled(if: LocalHAProxy.isInstalled))
    func aSwitchoverInAPauseIsFeltByNobodyBehindOneNameEither() async throws {
        try await LocalPatroni.withCluster(.init(members: 2, lease: .seconds(30), setUp: [Self.table])) { patroni in
            let proxy = try await LocalHAProxy.start(in: patroni)
            let configuration = ClusterConfiguration(acquireTimeout: .seconds(180))
            let cluster = try PostgresCluster(proxy.primaryDSN(), configuration: configuration)
            let name = "127.0.0.1:\(proxy.primaryPort)"
            try await cluster.ready(primaries: 1, replicas: 0, timeout: .seconds(180))
            let writers = Writers(on: cluster, count: 4)
            try await writers.more(100)
            // Patroni is done before the proxy knows: until then the name leads nowhere, or to a replica.
            let heir = try await cluster.pauseWrites(timeout: .seconds(180)) { try await patroni.switchover() }
            try await writers.more(100)
            let written = await writers.stop()
            #expect(writers.errors.isEmpty, "\(writers.errors.prefix(3))")
            #expect(cluster.snapshot().primary == name)
            #expect(try await heir.node.value(of: "SELECT count(*) FROM ledger") == "\(written)")
            await cluster.close()
        }
    }

    @Test func aMemberThatIsGoneIsRemovedAndComesBackAndAnotherPatroniIsAskedMeanwhile() async throws {
        try await LocalPatroni.withCluster(.init(lease: .seconds(20), setUp: [Self.table])) { patroni in
            let leader = try await patroni.leader()
            let gone = try #require(patroni.members.last { $0 !== leader })
            // The one that goes is asked first.
            let urls = [gone.restURL] + patroni.members.filter { $0 !== gone }.map(\.restURL)
            let cluster = try cluster(PatroniSource(urls, refreshInterval: .seconds(1)))
            try await cluster.ready(primaries: 1, replicas: 2, timeout: .seconds(180))
            let all = hosts(cluster)
            let writers = Writers(on: cluster, count: 2)
            try await gone.kill()
            try await until("the member is removed") { hosts(cluster) == all.subtracting([gone.node.address]) }
            #expect(cluster.snapshot().source?.lastFailure == nil)
            try await gone.start()
            try await until("the member is back") {
                cluster.snapshot().replicas.contains { $0.host == gone.node.address }
            }
            _ = await writers.stop()
            #expect(writers.errors.isEmpty, "\(writers.errors.prefix(3))")
            await cluster.close()
        }
    }

    private func until(_ what: String, _ condition: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(180)
        while !condition() {
            try #require(ContinuousClock.now < deadline, "\(what): not in time")
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}

/// An application that writes rows, one after the other, until it is told to stop.
private final class Writers: Sendable {
    private struct State {
        var written = 0
        var errors: [String] = []
        var isStopping = false
    }

    private let state = Mutex(State())
    private let tasks: Mutex<[Task<Void, Never>]>

    init(on cluster: PostgresCluster, count: Int) {
        tasks = Mutex([])
        let started = (0..<count).map { writer in Task { await self.write(writer, to: cluster) } }
        tasks.withLock { $0 = started }
    }

    var errors: [String] { state.withLock { $0.errors } }

    private func write(_ writer: Int, to cluster: PostgresCluster) async {
        var number = 0
        while !state.withLock({ $0.isStopping }) {
            let id = writer * 1_000_000 + number
            number += 1
            do {
                _ = try await cluster.write { db in
                    try await db.execute("INSERT INTO ledger (id) VALUES (\(id))")
                }
                state.withLock { $0.written += 1 }
            } catch {
                state.withLock { $0.errors.append(String(describing: error)) }
            }
        }
    }

    func more(_ count: Int) async throws {
        let goal = state.withLock { $0.written } + count
        let deadline = ContinuousClock.now + .seconds(180)
        while state.withLock({ $0.written }) < goal {
            try #require(ContinuousClock.now < deadline, "the application writes: not in time")
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    /// - Returns: How many rows were written.
    func stop() async -> Int {
        state.withLock { $0.isStopping = true }
        for task in tasks.withLock({ $0 }) { await task.value }
        return state.withLock { $0.written }
    }
}

extension LocalNode {
    /// As Patroni and the cluster name it.
    fileprivate var address: String { "127.0.0.1:\(port)" }
}

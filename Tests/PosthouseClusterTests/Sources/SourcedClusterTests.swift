// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// Names fake servers by index, as the test says.
private final class FakeSource: TopologySource {
    typealias Endpoint = FakeDriver.Endpoint

    struct Broken: Error, CustomStringConvertible {
        var description: String { "nobody knows" }
    }

    private struct State {
        var answer: [SourcedHost<FakeDriver.Endpoint>]?
        var questions = 0
    }

    private let state = Guarded(State())
    private let onEnd: @Sendable () -> Void

    init(onEnd: @escaping @Sendable () -> Void = {}) {
        self.onEnd = onEnd
    }

    deinit { onEnd() }

    var refreshInterval: Duration { .milliseconds(10) }
    var questions: Int { state.withLock { $0.questions } }

    func names(_ indexes: Int..., readless: Set<Int> = []) {
        state.withLock { state in
            state.answer = indexes.map { SourcedHost(.init(index: $0), takesReads: !readless.contains($0)) }
        }
    }

    func fails() { state.withLock { $0.answer = nil } }

    func hosts(deadline: ContinuousClock.Instant) async throws -> [SourcedHost<FakeDriver.Endpoint>] {
        let answer = state.withLock { state in
            state.questions += 1
            return state.answer
        }
        guard let answer else { throw Broken() }
        return answer
    }
}

/// A whole cluster whose hosts come from a source.
@Suite(.serialized, .timeLimit(.minutes(20))) struct SourcedClusterTests {
    private let servers: [FakeServer] = (0..<4).map {
        FakeServer(HostReport(isInRecovery: $0 != 0, systemIdentifier: 7, timeline: 1, incarnation: Int64($0) * 100))
    }
    private let source = FakeSource()

    private func make(_ source: FakeSource) throws -> Cluster<FakeDriver> {
        var rules = SourceRules(absences: 3, removalDelay: .milliseconds(100), drainTimeout: .seconds(60))
        rules.leastGap = .milliseconds(10)
        return try Cluster(
            source: source,
            rules: rules,
            driver: FakeDriver(servers: servers),
            configuration: ClusterConfiguration(
                acquireTimeout: patience,
                refreshDelay: .milliseconds(20),
                refreshTimeout: .milliseconds(500)
            ),
            clock: RealTime()
        )
    }

    @Test func requestsWaitUntilTheSourceHasNamedSomebody() async throws {
        let cluster = try make(source)
        let write = Task { try await cluster.write { try $0.execute("w") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 && (cluster.snapshot().source?.failures ?? 0) > 2 })
        #expect(await eventually { cluster.snapshot().source?.lastFailure == "nobody knows" })
        source.names(0, 1)
        try await write.value
        try await cluster.ready(timeout: patience)
        #expect(servers[0].statements == ["w"])
        #expect(cluster.snapshot().hosts.map(\.host) == ["db0:5432", "db1:5432"])
        #expect(cluster.snapshot().source?.hosts == 2)
        await cluster.close()
    }

    @Test func aClusterOfNobodyIsNotReadyAndSaysWhy() async throws {
        let cluster = try make(source)
        #expect(await eventually { cluster.snapshot().source?.lastFailure == "nobody knows" })
        let unready = await #expect(throws: ClusterError.self) { try await cluster.ready(timeout: .milliseconds(50)) }
        #expect(unready?.code == .notReady)
        let refused = await #expect(throws: ClusterError.self) {
            try await cluster.write(timeout: .milliseconds(50)) { try $0.execute("never") }
        }
        #expect(refused?.code == .noHostReachable)
        #expect(refused?.description.contains("nobody knows") == true)
        await cluster.close()
    }

    @Test func aHostThatIsNamedLaterIsUsed() async throws {
        source.names(0)
        let cluster = try make(source)
        try await cluster.write { try $0.execute("w") }
        source.names(0, 1)
        try await cluster.read { try $0.execute("r") }
        #expect(servers[1].statements == ["r"])
        await cluster.close()
    }

    @Test func aReplicaThatIsGoneIsLeftOnceItsWorkIsDone() async throws {
        source.names(0, 1)
        let cluster = try make(source)
        try await cluster.ready(primaries: 1, replicas: 1, timeout: patience)
        let lease = try await cluster.acquire(readOnly: true)
        source.names(0, 2)
        #expect(await eventually { cluster.snapshot().hosts.contains { $0.host == "db1:5432" && $0.isDrained } })
        for _ in 0..<20 { try await cluster.read { try $0.execute("r") } }
        try lease.session.execute("still runs")
        #expect(servers[1].statements == ["still runs"])
        try lease.release()
        #expect(await eventually { cluster.snapshot().hosts.map(\.host) == ["db0:5432", "db2:5432"] })
        #expect(await eventually { servers[1].open == 0 })
        source.names(0, 1, 2)
        #expect(await eventually { cluster.snapshot().replicas.count == 2 })
        await cluster.close()
    }

    @Test func failuresAndEmptyAnswersLeaveTheClusterAlone() async throws {
        source.names(0, 1)
        let cluster = try make(source)
        try await cluster.ready(primaries: 1, replicas: 1, timeout: patience)
        source.names()
        let empty = source.questions
        #expect(await eventually { source.questions > empty + 5 })
        source.fails()
        let broken = source.questions
        #expect(await eventually { source.questions > broken + 2 })
        #expect(cluster.snapshot().hosts.allSatisfy { !$0.isDrained })
        try await cluster.write { try $0.execute("w") }
        await cluster.close()
    }

    @Test func thePrimaryIsKeptThoughTheSourceForgetsItUntilAnotherOneIs() async throws {
        source.names(0, 1)
        let cluster = try make(source)
        try await cluster.ready(primaries: 1, replicas: 1, timeout: patience)
        source.names(1)
        let asked = source.questions
        #expect(await eventually { source.questions > asked + 30 })
        try await cluster.write { try $0.execute("w") }
        #expect(servers[0].statements == ["w"])
        servers[1].promote(to: 2)
        #expect(await eventually { cluster.snapshot().hosts.map(\.host) == ["db1:5432"] })
        try await cluster.write { try $0.execute("w") }
        #expect(servers[1].statements == ["w"])
        await cluster.close()
    }

    @Test func aHostThatIsToTakeNoReadsTakesWritesWhenItIsThePrimary() async throws {
        source.names(0, 1, 2, readless: [1])
        let cluster = try make(source)
        try await cluster.ready(timeout: patience)
        for _ in 0..<30 { try await cluster.read { try $0.execute("r") } }
        #expect(servers[1].statements.isEmpty)
        servers[0].crash()
        servers[1].promote(to: 2)
        try await cluster.write { try $0.execute("w") }
        #expect(servers[1].statements == ["w"])
        source.names(0, 1, 2)
        await cluster.close()
    }

    @Test func readsComeBackWithTheNextAnswer() async throws {
        source.names(0, 1, readless: [1])
        let cluster = try make(source)
        try await cluster.ready(timeout: patience)
        let read = Task { try await cluster.read { try $0.execute("r") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        source.names(0, 1)
        try await read.value
        #expect(servers[1].statements == ["r"])
        await cluster.close()
    }

    @Test func aClusterThatIsDroppedForgetsItsSource() async throws {
        let isGone = Guarded(false)
        do {
            let source = FakeSource { isGone.withLock { $0 = true } }
            source.names(0, 1)
            let cluster = try make(source)
            try await cluster.write { try $0.execute("w") }
        }
        #expect(await eventually { isGone.withLock { $0 } })
        #expect(await eventually { servers.allSatisfy { $0.open == 0 } })
    }

    @Test func aListThatDoesNotChangeIsASourceToo() async throws {
        let list = StaticSource([FakeDriver.Endpoint(index: 0), FakeDriver.Endpoint(index: 1)])
        let cluster = try Cluster(source: list, driver: FakeDriver(servers: servers), clock: RealTime())
        try await cluster.ready(primaries: 1, replicas: 1, timeout: patience)
        #expect(cluster.endpoints.map(\.index) == [0, 1])
        await cluster.close()
    }

    @Test func rulesThatMakeNoSenseAreRefused() {
        for rules in [SourceRules(deadline: .zero), SourceRules(absences: 0), SourceRules(removalDelay: .seconds(-1))] {
            let error = #expect(throws: ClusterError.self) {
                try Cluster(source: source, rules: rules, driver: FakeDriver(servers: servers), clock: RealTime())
            }
            #expect(error?.code == .invalidArgument)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Testing

@testable import PosthouseCluster

/// Planned switchovers over servers in memory.
@Suite(.serialized, .timeLimit(.minutes(20))) struct PausedWritesTests {
    private struct Refused: Error {}

    private let servers: [FakeServer]
    private let cluster: Cluster<FakeDriver>

    init() throws {
        servers = (0..<3).map {
            FakeServer(
                HostReport(isInRecovery: $0 != 0, systemIdentifier: 7, timeline: 1, incarnation: Int64($0) * 100)
            )
        }
        cluster = try Self.make(servers, refreshDelay: .milliseconds(20))
    }

    private static func make(_ servers: [FakeServer], refreshDelay: Duration) throws -> Cluster<FakeDriver> {
        try Cluster(
            endpoints: servers.indices.map { FakeDriver.Endpoint(index: $0) },
            driver: FakeDriver(servers: servers),
            configuration: ClusterConfiguration(
                acquireTimeout: patience,
                refreshDelay: refreshDelay,
                refreshTimeout: .seconds(2)
            ),
            clock: RealTime()
        )
    }

    /// A pause whose body waits until it is let go.
    private func pause(_ gate: PauseGate) -> Task<Void, any Error> {
        Task { [cluster] in
            try await cluster.pauseWrites {
                gate.enter()
                await gate.wait()
            }
        }
    }

    private func expectWritesGoOn() async throws {
        try await cluster.write { try $0.execute("goes on") }
        #expect(servers[0].statements.last == "goes on")
        #expect(!cluster.snapshot().writesArePaused)
    }

    @Test func writersWaitWhileWritesArePausedAndReadersDoNot() async throws {
        try await cluster.ready(timeout: patience)
        let gate = PauseGate()
        let paused = pause(gate)
        #expect(await eventually { gate.entered == 1 })
        #expect(cluster.snapshot().writesArePaused)
        let write = Task { try await cluster.write { try $0.execute("w") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        for _ in 0..<20 { try await cluster.read(fallbackPrimary: true) { try $0.execute("r") } }
        try await cluster.withAnyHost { try $0.execute("r") }
        #expect(servers[0].statements.isEmpty)
        gate.open()
        try await paused.value
        try await write.value
        #expect(servers[0].statements == ["w"])
        await cluster.close()
    }

    @Test func readsThatHaveOnlyThePrimaryLeftWaitToo() async throws {
        try await cluster.ready(timeout: patience)
        servers[1].crash()
        servers[2].crash()
        #expect(await eventually { cluster.snapshot().replicas.isEmpty })
        let gate = PauseGate()
        let paused = pause(gate)
        #expect(await eventually { gate.entered == 1 })
        let read = Task { try await cluster.read(fallbackPrimary: true) { try $0.execute("r") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        #expect(servers[0].statements.isEmpty)
        gate.open()
        try await paused.value
        try await read.value
        #expect(servers[0].statements == ["r"])
        await cluster.close()
    }

    @Test func theBodyRunsWhenTheLastWriteHasEnded() async throws {
        try await cluster.ready(timeout: patience)
        let lease = try await cluster.acquire()
        let gate = PauseGate()
        gate.open()
        let paused = pause(gate)
        #expect(await eventually { cluster.snapshot().writesArePaused })
        try await Task.sleep(for: .milliseconds(30))
        #expect(gate.entered == 0)
        try lease.session.execute("the last")
        try lease.release()
        try await paused.value
        #expect(gate.entered == 1)
        #expect(servers[0].statements == ["the last"])
        await cluster.close()
    }

    @Test func aWriteThatDoesNotEndEndsThePauseBeforeItBegan() async throws {
        try await cluster.ready(timeout: patience)
        let lease = try await cluster.acquire()
        let error = await #expect(throws: ClusterError.self) {
            try await cluster.pauseWrites(timeout: .milliseconds(50)) { Issue.record("the body ran") }
        }
        #expect(error?.code == .writesStillRunning)
        try lease.session.execute("still mine")
        try lease.release()
        try await expectWritesGoOn()
        await cluster.close()
    }

    @Test func whatTheBodyThrowsOrReturnsIsPassedOn() async throws {
        try await cluster.ready(timeout: patience)
        #expect(try await cluster.pauseWrites { 7 } == 7)
        await #expect(throws: Refused.self) { try await cluster.pauseWrites { throw Refused() } }
        try await expectWritesGoOn()
        await cluster.close()
    }

    @Test func writesGoOnWhenTheLastOfSeveralPausesIsOver() async throws {
        try await cluster.ready(timeout: patience)
        let (first, second) = (PauseGate(), PauseGate())
        let tasks = [pause(first), pause(second)]
        #expect(await eventually { first.entered == 1 && second.entered == 1 })
        let write = Task { try await cluster.write { try $0.execute("w") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        first.open()
        try await tasks[0].value
        #expect(cluster.snapshot().writesArePaused)
        #expect(cluster.snapshot().waiting == 1)
        second.open()
        try await tasks[1].value
        try await write.value
        await cluster.close()
    }

    @Test func pausesMayBeNested() async throws {
        try await cluster.ready(timeout: patience)
        try await cluster.pauseWrites {
            try await cluster.pauseWrites { #expect(cluster.snapshot().writesArePaused) }
            #expect(cluster.snapshot().writesArePaused)
        }
        try await expectWritesGoOn()
        await cluster.close()
    }

    @Test func aPauseThatIsCancelledBeforeOrInItsBodyLetsWritesGoOn() async throws {
        try await cluster.ready(timeout: patience)
        let lease = try await cluster.acquire()
        let early = Task { try await cluster.pauseWrites { Issue.record("the body ran") } }
        #expect(await eventually { cluster.snapshot().writesArePaused })
        early.cancel()
        let error = await #expect(throws: ClusterError.self) { try await early.value }
        #expect(error?.code == .cancelled)
        try lease.release()
        try await expectWritesGoOn()

        let gate = PauseGate()
        let late = Task {
            try await cluster.pauseWrites {
                gate.enter()
                try await Task.sleep(for: .seconds(600))
            }
        }
        #expect(await eventually { gate.entered == 1 })
        late.cancel()
        await #expect(throws: CancellationError.self) { try await late.value }
        try await expectWritesGoOn()
        await cluster.close()
    }

    @Test func whoseDeadlinePassesMeanwhileIsToldThatWritesArePaused() async throws {
        try await cluster.ready(timeout: patience)
        try await cluster.pauseWrites {
            let error = await #expect(throws: ClusterError.self) {
                try await cluster.write(timeout: .milliseconds(30)) { try $0.execute("never") }
            }
            #expect(error?.code == .writesPaused)
        }
        #expect(servers[0].statements.isEmpty)
        await cluster.close()
    }

    @Test func aClusterThatIsClosedMeanwhileEndsTheWaitAndNotTheBody() async throws {
        try await cluster.ready(timeout: patience)
        let gate = PauseGate()
        let paused = pause(gate)
        #expect(await eventually { gate.entered == 1 })
        let write = Task { try await cluster.write { try $0.execute("never") } }
        #expect(await eventually { cluster.snapshot().waiting == 1 })
        await cluster.close()
        let refused = await #expect(throws: ClusterError.self) { try await write.value }
        #expect(refused?.code == .closed)
        gate.open()
        try await paused.value
        let late = await #expect(throws: ClusterError.self) {
            try await cluster.pauseWrites { Issue.record("the body ran") }
        }
        #expect(late?.code == .closed)
    }

    @Test func aPauseThatWaitsForWritesLearnsOfTheClose() async throws {
        try await cluster.ready(timeout: patience)
        let lease = try await cluster.acquire()
        let paused = Task { try await cluster.pauseWrites { Issue.record("the body ran") } }
        #expect(await eventually { cluster.snapshot().writesArePaused })
        cluster.terminate()
        let error = await #expect(throws: ClusterError.self) { try await paused.value }
        #expect(error?.code == .closed)
        try? lease.release()
    }

    @Test func aPauseWithoutAPrimaryWaitsForNobody() async throws {
        try await cluster.ready(timeout: patience)
        servers[0].crash()
        #expect(await eventually { cluster.snapshot().primary == nil })
        try await cluster.pauseWrites { servers[1].promote(to: 2) }
        try await cluster.write { try $0.execute("w") }
        #expect(servers[1].statements == ["w"])
        await cluster.close()
    }

    @Test func afterASwitchoverNoWriteGoesToTheFormerPrimaryThoughItLivesOn() async throws {
        // Left to itself the cluster would not look again for a minute.
        let cluster = try Self.make(servers, refreshDelay: .seconds(60))
        try await cluster.ready(timeout: patience)
        let writers = (0..<8).map { _ in
            Task { for _ in 0..<50 { try await cluster.write { try $0.execute("w") } } }
        }
        let statements = try await cluster.pauseWrites {
            servers[1].promote(to: 2)
            return servers[0].statements.count
        }
        for writer in writers { try await writer.value }
        #expect(servers[0].statements.count == statements)
        #expect(servers[0].statements.count + servers[1].statements.count == 400)
        await cluster.close()
        await self.cluster.close()
    }

    @Test func manyPausesAndManyWritersLoseNothing() async throws {
        try await cluster.ready(timeout: patience)
        let writers = (0..<8).map { _ in
            Task { for _ in 0..<200 { try await cluster.write { try $0.execute("w") } } }
        }
        let pauses = (0..<4).map { _ in
            Task {
                for _ in 0..<10 {
                    let (before, after) = try await cluster.pauseWrites {
                        let before = servers[0].statements.count
                        await Task.yield()
                        return (before, servers[0].statements.count)
                    }
                    #expect(before == after, "nothing is written in a pause")
                }
            }
        }
        for task in writers + pauses { try await task.value }
        #expect(servers[0].statements.count == 1600)
        await cluster.close()
    }
}

/// Counts who came in, and holds them until it is opened.
private final class PauseGate: Sendable {
    private struct State {
        var entered = 0
        var isOpen = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Guarded(State())

    var entered: Int { state.withLock { $0.entered } }

    func enter() { state.withLock { $0.entered += 1 } }

    func wait() async {
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
    }

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}

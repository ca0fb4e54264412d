// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Synchronization

/// A server that is away for a while, in virtual time, and many requests that wait for it.
struct Outage {
    var waiters: Int
    /// How long it is away.
    var seconds: Double

    private static let size = 50
    private static let workTime = Duration.milliseconds(2)

    func run() async throws -> Answer {
        let time = VirtualTime()
        let server = AbsentServer(time: time)
        let configuration = PoolConfiguration(maximumSize: Self.size)
        let group = PoolGroup<StubConnection>(
            configuration: PoolGroupConfiguration(connectFailurePolicy: .keepWaiting),
            time: time
        )
        let member = try group.addMember(label: "away", configuration: configuration, strategy: server)
        group.setServices(.all, for: member)

        let began = time.now
        let back = began + .seconds(seconds)
        let clients = (0..<waiters).map { _ in
            Task { try await Self.serve(group, server, time, deadline: began + .seconds(3600)) }
        }
        while group.snapshot().waiting < waiters { try await Task.sleep(for: .milliseconds(1)) }
        let before = ResidentMemory.bytes
        try await pass(on: time, server, atMostTo: back) { time.now >= back }
        let after = ResidentMemory.bytes
        let attempts = server.counts.attempts
        server.isBack()
        try await pass(on: time, server) { server.counts.served == waiters }
        for client in clients { try await client.value }
        let counts = server.counts
        group.terminate()
        return [
            "attempts_while_away": Double(attempts),
            "most_connecting": Double(counts.mostConnecting),
            "most_connecting_when_back": Double(counts.mostConnectingWhenBack),
            "limit_connecting": Double(configuration.maximumConcurrentConnects),
            "opened": Double(counts.opened),
            "first_grant_s": counts.firstGrant.map { seconds(from: back, to: $0) } ?? .infinity,
            "longest_step_s": configuration.backoffCap / .seconds(1),
            "all_served_s": seconds(from: back, to: time.now),
            "before_bytes": before,
            "grown_bytes": after - before,
        ]
    }

    private static func serve(
        _ group: PoolGroup<StubConnection>,
        _ server: AbsentServer,
        _ time: VirtualTime,
        deadline: ContinuousClock.Instant
    ) async throws {
        try await group.withConnection(AcquireRequest(deadline: deadline)) { _ in
            server.noteGrant()
            try await time.sleep(until: time.now + workTime)
        }
        server.noteServed()
    }

    /// Lets time pass, from one event to the next, until it is enough.
    private func pass(
        on time: VirtualTime,
        _ server: AbsentServer,
        atMostTo limit: ContinuousClock.Instant? = nil,
        until isEnough: () -> Bool
    ) async throws {
        while true {
            try await settle(time, server)
            if isEnough() { return }
            guard let next = [time.nextDeadline, limit].compactMap({ $0 }).min() else {
                throw Unexpected(description: "nobody sleeps, and not everybody was served")
            }
            time.advance(to: next)
        }
    }

    /// Waits until the work of this moment is done: nothing has moved for a millisecond.
    private func settle(_ time: VirtualTime, _ server: AbsentServer) async throws {
        var seen = (-1, -1)
        while seen != (time.sleeps, server.counts.moves) {
            seen = (time.sleeps, server.counts.moves)
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    private func seconds(from start: ContinuousClock.Instant, to end: ContinuousClock.Instant) -> Double {
        (end - start) / .seconds(1)
    }
}

/// Refuses every connection until it is back, and counts.
private final class AbsentServer: ConnectionStrategy {
    struct Counts {
        var attempts = 0
        var connecting = 0
        var mostConnecting = 0
        var mostConnectingWhenBack = 0
        var opened = 0
        var served = 0
        var firstGrant: ContinuousClock.Instant?
        /// Everything that happened.
        var moves = 0
    }

    private struct State {
        var isBack = false
        var counts = Counts()
    }

    private let time: VirtualTime
    private let state = Mutex(State())
    private static let connectTime = Duration.milliseconds(20)

    init(time: VirtualTime) {
        self.time = time
    }

    var counts: Counts { state.withLock { $0.counts } }

    func isBack() { state.withLock { $0.isBack = true } }

    func noteGrant() {
        let now = time.now
        note { $0.firstGrant = $0.firstGrant ?? now }
    }

    func noteServed() { note { $0.served += 1 } }

    private func note(_ change: (inout Counts) -> Void) {
        state.withLock { state in
            state.counts.moves += 1
            change(&state.counts)
        }
    }

    func create() async throws -> StubConnection {
        state.withLock { state in
            state.counts.moves += 1
            state.counts.attempts += 1
            state.counts.connecting += 1
            state.counts.mostConnecting = max(state.counts.mostConnecting, state.counts.connecting)
            guard state.isBack else { return }
            state.counts.mostConnectingWhenBack = max(state.counts.mostConnectingWhenBack, state.counts.connecting)
        }
        defer { note { $0.connecting -= 1 } }
        try await time.sleep(until: time.now + Self.connectTime)
        guard state.withLock({ $0.isBack }) else { throw Unexpected(description: "connection refused") }
        note { $0.opened += 1 }
        return StubConnection()
    }

    func isClosed(_ connection: StubConnection) -> Bool { false }
    func close(_ connection: StubConnection) {}
}

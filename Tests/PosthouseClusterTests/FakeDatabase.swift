// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthouseCluster
import PosthousePool
import Synchronization

/// A server in memory that can die, freeze, be promoted and come back.
final class FakeServer: Sendable {
    enum Condition: Sendable {
        case up
        case refusing
        case starting
        case silent
        /// Silent, and checks overrun their deadline.
        case stuck
    }

    /// What becomes of sessions that are opened for checks; those that are open work.
    enum NewMonitors: Sendable {
        case answered
        /// They are not let in.
        case keptOut
        /// They are, and get no answer.
        case ignored
    }

    struct State: Sendable {
        var condition = Condition.up
        var report: HostReport
        var statements: [String] = []
        var connects = 0
        var open = 0
        /// What new connections reach instead, as behind a name that was moved.
        var replacement: HostReport?
        var newMonitors = NewMonitors.answered
        /// How many were not.
        var disregarded = 0
        /// What is measured of each statement.
        var responseTime: Duration?
    }

    let state: Guarded<State>

    init(_ report: HostReport) {
        self.state = Guarded(State(report: report))
    }

    func change(_ body: (inout State) -> Void) {
        state.withLock { body(&$0) }
    }

    var statements: [String] { state.withLock { $0.statements } }
    var connects: Int { state.withLock { $0.connects } }
    var open: Int { state.withLock { $0.open } }

    func crash() {
        change { $0.condition = .refusing }
    }

    func promote(to timeline: UInt32) {
        change {
            $0.report.isInRecovery = false
            $0.report.timeline = timeline
        }
    }

    /// Starts as it was, as another run.
    func restart() {
        change {
            $0.condition = .up
            $0.report.incarnation = ($0.report.incarnation ?? 0) + 1
        }
    }
}

final class FakeConnection: Sendable {
    let server: FakeServer
    let report: HostReport
    let observer: any ConnectionObserver
    /// No check on it is answered.
    let isIgnored: Bool
    private let isOpen = Atomic(true)

    init(server: FakeServer, report: HostReport, observer: any ConnectionObserver, isIgnored: Bool) {
        self.server = server
        self.report = report
        self.observer = observer
        self.isIgnored = isIgnored
    }

    var isClosed: Bool { !isOpen.load(ordering: .acquiring) }

    func close() {
        if isOpen.exchange(false, ordering: .acquiringAndReleasing) { server.change { $0.open -= 1 } }
    }
}

struct FakeError: Error, CustomStringConvertible {
    var kind: HostFailure.Kind
    var description: String
}

struct FakeSession: Sendable {
    let connection: FakeConnection
    let permit: LeasePermit

    var host: FakeServer { connection.server }

    func execute(_ statement: String) throws {
        try permit.check()
        let responseTime: Duration? = try connection.server.state.withLock { state in
            guard !connection.isClosed, state.condition == .up,
                state.report.incarnation == connection.report.incarnation
            else {
                throw FakeError(kind: .lost, description: "connection lost")
            }
            state.statements.append(statement)
            return state.responseTime
        }
        if let responseTime, connection.observer.measuresResponses {
            connection.observer.connection(answeredAfter: responseTime)
        }
    }
}

/// Drives the fake servers, named by index.
struct FakeDriver: ClusterDriver {
    struct Endpoint: Sendable, Hashable, CustomStringConvertible {
        var index: Int
        var description: String { "db\(index):5432" }
    }

    let servers: [FakeServer]

    func connect(
        to endpoint: Endpoint,
        for purpose: ConnectionPurpose,
        observer: any ConnectionObserver,
        deadline: ContinuousClock.Instant
    ) async throws -> FakeConnection {
        let server = servers[endpoint.index]
        let condition = server.state.withLock { $0.condition }
        switch condition {
        case .refusing: throw FakeError(kind: .refused, description: "connection refused")
        case .starting: throw FakeError(kind: .starting, description: "57P03 the database system is starting up")
        case .silent: try await hang(until: deadline)
        case .stuck: try await hang(while: server)
        case .up: break
        }
        let treatment = server.state.withLock { state in
            guard purpose == .monitor else { return FakeServer.NewMonitors.answered }
            if state.newMonitors != .answered { state.disregarded += 1 }
            return state.newMonitors
        }
        if treatment == .keptOut { try await hang(until: deadline) }
        let report = server.state.withLock { state in
            state.connects += 1
            state.open += 1
            return purpose == .pool ? state.replacement ?? state.report : state.report
        }
        return FakeConnection(server: server, report: report, observer: observer, isIgnored: treatment == .ignored)
    }

    func probe(_ connection: FakeConnection, deadline: ContinuousClock.Instant) async throws -> HostReport {
        let (condition, now, isStrict) = connection.server.state.withLock {
            ($0.condition, $0.report, $0.newMonitors != .answered)
        }
        // As libpq does; where nothing is waited for, a starved test need not be that strict.
        if isStrict, deadline <= .now { throw FakeError(kind: .timedOut, description: "nothing was sent") }
        if condition == .silent || connection.isIgnored { try await hang(until: deadline) }
        if condition == .stuck { try await hang(while: connection.server) }
        guard condition == .up, !connection.isClosed else {
            throw FakeError(kind: .lost, description: "server closed the connection")
        }
        if connection.report.incarnation == now.incarnation { return now }
        if connection.server.state.withLock({ $0.replacement }) != nil { return connection.report }
        throw FakeError(kind: .lost, description: "server closed the connection")
    }

    private func hang(until deadline: ContinuousClock.Instant) async throws {
        try await Task.sleep(until: deadline, clock: .continuous)
        throw FakeError(kind: .timedOut, description: "no answer")
    }

    private func hang(while server: FakeServer) async throws {
        while server.state.withLock({ $0.condition == .stuck }) { try await Task.sleep(for: .milliseconds(5)) }
        throw FakeError(kind: .local, description: "let go")
    }

    func session(on connection: FakeConnection, permit: LeasePermit) -> FakeSession {
        FakeSession(connection: connection, permit: permit)
    }

    func isClosed(_ connection: FakeConnection) -> Bool { connection.isClosed }

    func close(_ connection: FakeConnection) { connection.close() }

    func classify(_ error: any Error) -> HostFailure {
        guard let error = error as? FakeError else {
            return HostFailure(.unreachable, reason: String(describing: error))
        }
        return HostFailure(error.kind, reason: error.description)
    }
}

/// Real time. Monitors have a thread of their own, as in earnest: they do not fall silent while other tests compute. They
/// check every few milliseconds, so the clusters of a suite run one after the other.
struct RealTime: ClusterClock {
    let executor: (any TaskExecutor)? = OwnThread()

    var now: ContinuousClock.Instant { .now }

    func sleep(until deadline: ContinuousClock.Instant) async throws {
        try await Task.sleep(until: deadline, clock: .continuous)
    }
}

/// How long a test waits for what must come, on a machine that others use too: only a defect lets it pass.
let patience = Duration.seconds(300)

/// Waits for a condition.
func eventually(_ condition: () -> Bool) async -> Bool {
    let deadline = ContinuousClock.now + patience
    while !condition() {
        if ContinuousClock.now > deadline { return false }
        try? await Task.sleep(for: .milliseconds(1))
    }
    return true
}

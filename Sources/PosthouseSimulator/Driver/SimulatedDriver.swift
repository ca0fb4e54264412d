// SPDX-License-Identifier: Apache-2.0

public import PosthouseCluster
public import PosthousePool

/// Leads a cluster to the servers of a ``SimulatedWorld``.
public struct SimulatedDriver: ClusterDriver {
    /// The address of a simulated server: of that with its index, while nothing else was done to it.
    public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
        /// Counted from 0.
        public let host: Int

        /// As the address of a real server would look.
        public var description: String { "db\(host):5432" }
    }

    let world: SimulatedWorld
    /// What this one does not do.
    let neglected: Duties

    /// Connects; as slowly as the network is, or not at all.
    public func connect(
        to endpoint: Endpoint,
        for purpose: ConnectionPurpose,
        observer: any ConnectionObserver,
        deadline: ContinuousClock.Instant
    ) async throws -> SimulatedConnection {
        let request = Exchange.Request.connect(purpose)
        let answer = try await world.ask(request, at: endpoint.host, session: nil, deadline: deadline)
        guard case .connected(let host, let incarnation, let isInRecovery) = answer else {
            throw SimulatedError(.lost)
        }
        return world.open(
            endpoint.host,
            for: purpose,
            to: host,
            incarnation: incarnation,
            isInRecovery: isInRecovery,
            observer
        )
    }

    /// Asks the server who it is.
    public func probe(
        _ connection: SimulatedConnection,
        deadline: ContinuousClock.Instant
    ) async throws -> HostReport {
        if connection.isBroken { throw SimulatedError(.lost) }
        let answer = try await world.ask(.probe, at: connection.address, session: connection, deadline: deadline)
        guard case .report(let report) = answer else { throw SimulatedError(.lost) }
        return neglected.contains(.timelines) ? report.withoutTimeline : report
    }

    /// An empty statement, there and back.
    public func validate(
        _ connection: SimulatedConnection,
        deadline: ContinuousClock.Instant
    ) async throws -> HostReport? {
        if connection.isBroken { throw SimulatedError(.lost) }
        _ = try await world.ask(.ping, at: connection.address, session: connection, deadline: deadline)
        return nil
    }

    /// What users were answered.
    public func answers(on connection: SimulatedConnection) -> UInt64 { connection.answers }

    /// What the user gets.
    public func session(on connection: SimulatedConnection, permit: LeasePermit) -> SimulatedSession {
        let asksPermit = !neglected.contains(.permits)
        return SimulatedSession(
            connection: connection,
            permit: permit,
            world: world,
            asksPermit: asksPermit,
            leasedAt: world.time.elapsed
        )
    }

    /// Whether it is broken, or waits for an answer.
    public func isClosed(_ connection: SimulatedConnection) -> Bool {
        !neglected.contains(.breaks) && (connection.isBroken || world.isBusy(connection))
    }

    /// Closes it at once.
    public func close(_ connection: SimulatedConnection) {
        if !neglected.contains(.closes) { world.close(connection) }
    }

    /// Breaks it, and what it waits for.
    public func interrupt(_ connection: SimulatedConnection, reason: InterruptReason) {
        if !neglected.contains(.interrupts) { world.interrupt(connection) }
    }

    /// What an error proves of the server.
    public func classify(_ error: any Error) -> HostFailure {
        switch error {
        case let error as HostFailure: error
        case let error as SimulatedError: error.failure
        case is CancellationError: HostFailure(.local, reason: "cancelled")
        default: HostFailure(.unreachable, reason: String(describing: error))
        }
    }
}

extension HostReport {
    fileprivate var withoutTimeline: HostReport {
        var report = self
        report.timeline = nil
        return report
    }
}

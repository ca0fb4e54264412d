// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import PosthouseCluster
public import PosthousePool
public import PosthousePostgres
public import PosthouseReactor

/// PostgreSQL through libpq, as the cluster's driver.
public struct LibPQDriver: ClusterDriver {
    /// One object, so that the cluster's copies of the driver cost one count.
    private final class Parts: Sendable {
        let parameters: ConnectionParameters
        let credentials: DatabaseCredentials.Provider?
        let options: SessionOptions
        let recycling: RecyclingMethod
        let loops: EventLoopGroup
        let monitorLoop: EventLoop
        /// Which question each host answers; found out once.
        let questions = Guarded<[HostEndpoint: IdentityQuery]>([:])
        /// What the pools' connections to each host count at; made when the first one is opened.
        let gates = Guarded<[HostEndpoint: SessionGate]>([:])
        /// How many sessions a pool may have with each host; nil if nobody said.
        let sessionLimit: Int?
        let budgetGate: SessionGate?

        init(
            _ parameters: ConnectionParameters,
            _ credentials: DatabaseCredentials.Provider?,
            _ options: SessionOptions,
            _ recycling: RecyclingMethod,
            _ loops: EventLoopGroup,
            _ loop: EventLoop,
            _ sessionLimit: Int?,
            _ budgetGate: SessionGate?
        ) {
            self.parameters = parameters
            self.credentials = credentials
            self.options = options
            self.recycling = recycling
            self.loops = loops
            self.monitorLoop = loop
            self.sessionLimit = sessionLimit
            self.budgetGate = budgetGate
        }

        func gates(of endpoint: HostEndpoint) -> [SessionGate] {
            var gates: [SessionGate] = []
            if let sessionLimit {
                gates.append(
                    self.gates.withLock { gates in
                        let gate = gates[endpoint] ?? SessionGate(limit: sessionLimit)
                        gates[endpoint] = gate
                        return gate
                    }
                )
            }
            if let budgetGate { gates.append(budgetGate) }
            return gates
        }
    }

    private let parts: Parts

    /// Makes a driver.
    ///
    /// - Parameters:
    ///   - parameters: User, database, TLS and all else that the hosts have in common.
    ///   - credentials: Looks up user and password for each connection, the monitors' too. Default: those of `parameters`.
    ///   - options: How sessions are set up.
    ///   - recycling: What is done with a pooled session between two users. Default: ``RecyclingMethod/fast``.
    ///   - loops: Serve the pooled connections.
    ///   - monitorLoop: Serves the monitors' sessions, and no user code.
    public init(
        parameters: ConnectionParameters,
        credentials: DatabaseCredentials.Provider? = nil,
        options: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        loops: EventLoopGroup,
        monitorLoop: EventLoop
    ) {
        parts = Parts(parameters, credentials, options, recycling, loops, monitorLoop, nil, nil)
    }

    /// Makes a driver that knows the limits of the cluster's pools.
    init(
        parameters: ConnectionParameters,
        credentials: DatabaseCredentials.Provider?,
        options: SessionOptions,
        recycling: RecyclingMethod,
        loops: EventLoopGroup,
        monitorLoop: EventLoop,
        configuration: ClusterConfiguration
    ) {
        parts = Parts(
            parameters,
            credentials,
            options,
            recycling,
            loops,
            monitorLoop,
            configuration.pool.burstLimit ?? configuration.pool.maximumSize,
            configuration.budget.map { SessionGate.shared(by: $0) }
        )
    }

    /// Opens a connection: one host for one libpq connection, on the loop that fits the purpose.
    public func connect(
        to endpoint: HostEndpoint,
        for purpose: ConnectionPurpose,
        observer: any ConnectionObserver,
        deadline: ContinuousClock.Instant
    ) async throws -> DatabaseConnection {
        let gates = purpose == .pool ? parts.gates(of: endpoint) : []
        return try await DatabaseConnection.opened(through: gates, until: deadline) {
            try await DatabaseConnection.connect(
                to: endpoint,
                parameters: currentParameters(by: deadline),
                options: parts.options,
                loop: purpose == .monitor ? parts.monitorLoop : parts.loops.next(),
                deadline: deadline,
                events: ObserverEvents(observer: observer),
                executor: purpose == .monitor ? parts.monitorLoop : nil
            )
        }
    }

    private func currentParameters(by deadline: ContinuousClock.Instant) async throws -> ConnectionParameters {
        guard let credentials = parts.credentials else { return parts.parameters }
        do {
            return try parts.parameters.with(
                await CredentialLookup.credentials(from: credentials, until: deadline, on: parts.monitorLoop)
            )
        } catch {
            // It says nothing of the host.
            throw HostFailure(.local, reason: "the credentials could not be looked up: \(error)")
        }
    }

    /// Asks for identity and role, in as much detail as the host allows.
    public func probe(_ connection: DatabaseConnection, deadline: ContinuousClock.Instant) async throws -> HostReport {
        var question = parts.questions.withLock { $0[connection.endpoint] } ?? .full
        while true {
            do {
                return try HostReport(await connection.query(question.sql, deadline: deadline))
            } catch let error as DatabaseError where error.isRefusal {
                guard let simpler = question.simpler else { throw error }
                question = simpler
                parts.questions.withLock { $0[connection.endpoint] = simpler }
            }
        }
    }

    /// Asks for what changes, and for nothing that is in the control file, which a server keeps locked while it is being
    /// promoted.
    public func probe(
        _ connection: DatabaseConnection,
        knowing known: HostReport,
        deadline: ContinuousClock.Instant
    ) async throws -> HostReport {
        let question = parts.questions.withLock { $0[connection.endpoint] } ?? .full
        if question == .full {
            let rows = try await connection.query(IdentityQuery.withoutControlFile.sql, deadline: deadline)
            if let report = try HostReport(rows).completed(by: known) { return report }
        }
        return try await probe(connection, deadline: deadline)
    }

    /// The `db` of `write { db in }`.
    public func session(on connection: DatabaseConnection, permit: LeasePermit) -> DatabaseSession {
        DatabaseSession(connection: connection, permit: SendPermit(permit))
    }

    /// An empty statement, there and back.
    public func validate(
        _ connection: DatabaseConnection,
        deadline: ContinuousClock.Instant
    ) async throws -> HostReport? {
        try await connection.ping(deadline: deadline)
        return nil
    }

    /// With ``RecyclingMethod/verified``.
    public var validatesEachHandOut: Bool { parts.recycling.validates }

    /// With a ``RecyclingMethod`` that resets sessions.
    public var recycles: Bool { parts.recycling.resets }

    /// Whether a statement ran since the session was last reset, and it is to be.
    public func needsRecycling(_ connection: DatabaseConnection) -> Bool {
        connection.needsRecycling(by: parts.recycling)
    }

    /// Whether nothing but an open transaction keeps it from being used again.
    public func canBeRecycled(_ connection: DatabaseConnection) -> Bool { connection.canBeRecycled }

    /// Rolls back an open transaction, and resets the session as the ``RecyclingMethod`` says.
    public func recycle(_ connection: DatabaseConnection, deadline: ContinuousClock.Instant) async throws {
        try await connection.recycle(by: parts.recycling, deadline: deadline)
    }

    /// Asks again and again, a millisecond apart at first; from PostgreSQL 19 on the server waits by itself.
    public func waitForReplay(
        _ connection: DatabaseConnection,
        of token: CommitToken,
        deadline: ContinuousClock.Instant
    ) async throws -> Bool {
        let session = DatabaseSession(connection: connection, permit: nil)
        return try await session.waitForReplay(of: token.position, timeout: ContinuousClock.now.duration(to: deadline))
            != .timedOut
    }

    /// Whether the session is closed, broken, busy, or not outside of a transaction.
    public func isClosed(_ connection: DatabaseConnection) -> Bool { !connection.isReusable }

    /// Closes the connection at once.
    public func close(_ connection: DatabaseConnection) { connection.close() }

    /// Shuts the connection down under whoever uses it.
    public func interrupt(_ connection: DatabaseConnection, reason: InterruptReason) {
        connection.interrupt(reason)
    }

    /// What a driver error proves of the host.
    public func classify(_ error: any Error) -> HostFailure {
        switch error {
        case let error as HostFailure: error
        case let error as DatabaseError: HostFailure(error)
        default: HostFailure(.unreachable, reason: String(describing: error))
        }
    }

    /// Statements, pings and the rest, each of which was answered.
    public func answers(on connection: DatabaseConnection) -> UInt64 { connection.answerCount }

    /// The connection's loop, counted from one: zero is no home.
    public func affinity(of connection: DatabaseConnection) -> Int { connection.affinity }

    /// The loop that the caller runs on, if it does.
    public var currentAffinity: Int { DatabaseConnection.currentAffinity }
}

/// Hands on what a connection finds out in passing.
private final class ObserverEvents: ConnectionEvents {
    private let observer: any ConnectionObserver

    init(observer: any ConnectionObserver) {
        self.observer = observer
    }

    func connection(_ connection: DatabaseConnection, changedInHotStandby inHotStandby: Bool) {
        if !inHotStandby { observer.connection(noticed: .leftRecovery) }
    }

    func connection(_ connection: DatabaseConnection, wasLost error: DatabaseError) {
        observer.connection(noticed: .connectionLost)
    }

    func connection(_ connection: DatabaseConnection, sawShutdown sqlState: SQLState) {
        observer.connection(noticed: .shutdownAnnounced)
    }

    func connectionSawReadOnlyError(_ connection: DatabaseConnection) {
        observer.connection(noticed: .writeRefused)
    }

    var measuresResponses: Bool { observer.measuresResponses }

    func connection(_ connection: DatabaseConnection, answeredAfter time: Duration) {
        observer.connection(answeredAfter: time)
    }

    func connectionHasIdleInput(_ connection: DatabaseConnection) {
        observer.withIdleClaim { connection.idleVerdict() }
    }
}

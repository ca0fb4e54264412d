// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import PosthousePostgres
import PosthouseReactor

/// How a lone pool makes and ends its connections.
struct DatabaseStrategy: ConnectionStrategy {
    /// Called once for each physical connection.
    private let connect: @Sendable (_ deadline: ContinuousClock.Instant) async throws -> DatabaseConnection
    private let connectTimeout: Duration
    private let workTimeout: Duration
    private let recycling: RecyclingMethod
    private let gates: [SessionGate]

    /// Connects as the parameters say.
    init(
        _ parameters: ConnectionParameters,
        credentials: DatabaseCredentials.Provider?,
        session: SessionOptions,
        recycling: RecyclingMethod,
        gates: [SessionGate],
        configuration: PoolConfiguration
    ) throws(ReactorError) {
        let search = ServerSearch(
            parameters: parameters,
            credentials: credentials,
            options: session,
            loops: try EventLoopGroup.shared
        )
        self.init(recycling, gates, configuration) { try await search.connect(until: $0) }
    }

    /// Has somebody else connect.
    init(
        _ getConnection: @escaping @Sendable () async throws -> DatabaseConnection,
        recycling: RecyclingMethod,
        gates: [SessionGate],
        configuration: PoolConfiguration
    ) {
        self.init(recycling, gates, configuration) { _ in try await getConnection() }
    }

    private init(
        _ recycling: RecyclingMethod,
        _ gates: [SessionGate],
        _ configuration: PoolConfiguration,
        connect: @escaping @Sendable (ContinuousClock.Instant) async throws -> DatabaseConnection
    ) {
        self.connect = connect
        self.recycling = recycling
        self.gates = gates
        connectTimeout = configuration.connectTimeout
        workTimeout = configuration.workTimeout
    }

    func create(slot: PoolSlot) async throws -> DatabaseConnection {
        let deadline = ContinuousClock.now + PoolConfiguration.driverTimeout(within: connectTimeout)
        let connection = try await DatabaseConnection.opened(through: gates, until: deadline) {
            try await connect(deadline)
        }
        let keeper = IdleKeeper { connection in slot.withIdleClaim { connection.idleVerdict() } }
        guard connection.keep(in: keeper) else {
            // Not closed: it is somebody else's.
            throw PoolError.invalid(
                "getConnection returned a connection to \(connection.host) that is in a pool already; "
                    + "open another one each time that it is called"
            )
        }
        guard connection.isReusable else {
            connection.close()
            throw PoolError.invalid(
                "getConnection returned a connection to \(connection.host) that is closed, in use or in a transaction; "
                    + "it was closed"
            )
        }
        connection.noteRecycled()
        return connection
    }

    func validate(_ connection: DatabaseConnection) async throws {
        try await connection.ping(deadline: workDeadline)
    }

    var recycles: Bool { recycling.resets }

    func needsRecycling(_ connection: DatabaseConnection) -> Bool { connection.needsRecycling(by: recycling) }

    func canBeRecycled(_ connection: DatabaseConnection) -> Bool { connection.canBeRecycled }

    func recycle(_ connection: DatabaseConnection) async throws {
        try await connection.recycle(by: recycling, deadline: workDeadline)
    }

    private var workDeadline: ContinuousClock.Instant { .now + PoolConfiguration.driverTimeout(within: workTimeout) }

    func isClosed(_ connection: DatabaseConnection) -> Bool { !connection.isReusable }

    func close(_ connection: DatabaseConnection) { connection.close() }

    func interrupt(_ connection: DatabaseConnection, reason: InterruptReason) { connection.interrupt(reason) }

    func affinity(of connection: DatabaseConnection) -> Int { connection.affinity }
}

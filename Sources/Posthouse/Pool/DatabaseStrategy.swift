// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import PosthousePostgres
import PosthouseReactor

/// How a lone pool makes and ends its connections.
struct DatabaseStrategy: ConnectionStrategy {
    /// Called once for each physical connection.
    private let connect: @Sendable (_ deadline: ContinuousClock.Instant) async throws -> DatabaseConnection
    private let timeout: Duration

    /// Connects as the parameters say.
    init(
        _ parameters: ConnectionParameters,
        credentials: DatabaseCredentials.Provider?,
        session: SessionOptions,
        configuration: PoolConfiguration
    ) throws(ReactorError) {
        let search = ServerSearch(
            parameters: parameters,
            credentials: credentials,
            options: session,
            loops: try EventLoopGroup.shared
        )
        connect = { try await search.connect(until: $0) }
        timeout = configuration.connectTimeout
    }

    /// Has somebody else connect.
    init(
        _ getConnection: @escaping @Sendable () async throws -> DatabaseConnection,
        configuration: PoolConfiguration
    ) {
        connect = { _ in try await getConnection() }
        timeout = configuration.connectTimeout
    }

    func create(slot: PoolSlot) async throws -> DatabaseConnection {
        let connection = try await connect(.now + PoolConfiguration.driverTimeout(within: timeout))
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
        return connection
    }

    func isClosed(_ connection: DatabaseConnection) -> Bool { !connection.isReusable }

    func close(_ connection: DatabaseConnection) { connection.close() }

    func interrupt(_ connection: DatabaseConnection, reason: InterruptReason) { connection.interrupt(reason) }

    func affinity(of connection: DatabaseConnection) -> Int { connection.affinity }
}

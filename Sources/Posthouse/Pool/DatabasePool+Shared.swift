// SPDX-License-Identifier: Apache-2.0

public import Logging
public import PosthousePool
public import PosthousePostgres

extension DatabasePool {
    /// The pool that needs not be passed around.
    public static let shared = SharedPool<DatabasePool>(name: "DatabasePool")

    /// The shared pool.
    ///
    /// - Throws: ``PoolError/Code/notInitialized`` before `initialize`, and after the shared pool was closed.
    public static func instance() throws(PoolError) -> DatabasePool { try shared.instance() }

    /// Makes a pool from a connection string, and makes it the shared one. See ``SharedPool/initialize(_:)``.
    ///
    /// - Parameters:
    ///   - connectionString: A URI or keyword/value pairs, as libpq reads them. Of several hosts each connection goes to the first
    ///     that answers and is what `target_session_attrs` asks for.
    ///   - credentials: Looks up user and password for each connection that is opened. Default: what the connection string says.
    ///   - configuration: Limits, timeouts and the name. Default: at most 10 connections, made on demand.
    ///   - session: How sessions are set up.
    ///   - recycling: What is done with a session between two users. Default: ``RecyclingMethod/fast``.
    ///   - queue: How requests wait, with a name and an acquire timeout of its own; a budget that is shared with other pools.
    ///     Default: requests wait until the deadline, and a failed connect fails the request that asked for it.
    ///   - logger: Is told at the debug level of each connection that is opened, acquired, released and closed, and warned of
    ///     leases that last too long and of a server where no connection can be opened. Default: nobody.
    /// - Throws: ``ConnectionStringError``; ``PoolError/Code/invalidConfiguration``; `ReactorError` if the system has no thread
    ///   or descriptor left for the event loops.
    @discardableResult
    public static func initialize(
        _ connectionString: String,
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: PoolConfiguration = PoolConfiguration(),
        session: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        queue: PoolGroupConfiguration? = nil,
        logger: Logger? = nil
    ) throws -> DatabasePool {
        shared.initialize(
            try DatabasePool(
                ConnectionParameters(connectionString),
                credentials: credentials,
                configuration: configuration,
                session: session,
                recycling: recycling,
                queue: queue,
                logger: logger
            )
        )
    }

    /// Makes a pool from parsed parameters, and makes it the shared one. See ``SharedPool/initialize(_:)``.
    ///
    /// - Parameters:
    ///   - parameters: The hosts, and how to log in to them.
    ///   - credentials: Looks up user and password for each connection that is opened. Default: what the parameters say.
    ///   - configuration: Limits, timeouts and the name. Default: at most 10 connections, made on demand.
    ///   - session: How sessions are set up.
    ///   - recycling: What is done with a session between two users. Default: ``RecyclingMethod/fast``.
    ///   - queue: How requests wait, with a name and an acquire timeout of its own; a budget that is shared with other pools.
    ///     Default: requests wait until the deadline, and a failed connect fails the request that asked for it.
    ///   - logger: Is told at the debug level of each connection that is opened, acquired, released and closed, and warned of
    ///     leases that last too long and of a server where no connection can be opened. Default: nobody.
    /// - Throws: ``PoolError/Code/invalidConfiguration``; `ReactorError` if the system has no thread or descriptor left for the
    ///   event loops.
    @discardableResult
    public static func initialize(
        _ parameters: ConnectionParameters,
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: PoolConfiguration = PoolConfiguration(),
        session: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        queue: PoolGroupConfiguration? = nil,
        logger: Logger? = nil
    ) throws -> DatabasePool {
        shared.initialize(
            try DatabasePool(
                parameters,
                credentials: credentials,
                configuration: configuration,
                session: session,
                recycling: recycling,
                queue: queue,
                logger: logger
            )
        )
    }

    /// Makes a pool whose connections somebody else opens, and makes it the shared one. See ``SharedPool/initialize(_:)``.
    ///
    /// There are no parameters beside the callback: the connection it returns says everything.
    ///
    /// - Parameters:
    ///   - configuration: Limits, timeouts and the name. Default: at most 10 connections, made on demand.
    ///   - recycling: What is done with a session between two users. Default: ``RecyclingMethod/fast``.
    ///   - queue: How requests wait, with a name and an acquire timeout of its own; a budget that is shared with other pools.
    ///     Default: requests wait until the deadline, and a failed connect fails the request that asked for it.
    ///   - logger: Is told at the debug level of each connection that is opened, acquired, released and closed, and warned of
    ///     leases that last too long and of a server where no connection can be opened. Default: nobody.
    ///   - getConnection: Opens a connection, by ``DatabaseConnection/connect(to:parameters:options:loop:deadline:events:executor:)``
    ///     for example. Called once for each physical connection, never when one is used again, so it is the place to look up a
    ///     security token. What it throws reaches the request that asked for the connection, as ``PoolError/underlying``. The
    ///     pool owns the connection from then on; one that is closed, busy or in a transaction, or was returned before, is an
    ///     error.
    /// - Throws: ``PoolError/Code/invalidConfiguration``.
    @discardableResult
    public static func initialize(
        configuration: PoolConfiguration = PoolConfiguration(),
        recycling: RecyclingMethod = .fast,
        queue: PoolGroupConfiguration? = nil,
        logger: Logger? = nil,
        getConnection: @escaping @Sendable () async throws -> DatabaseConnection
    ) throws -> DatabasePool {
        shared.initialize(
            try DatabasePool(
                configuration: configuration,
                recycling: recycling,
                queue: queue,
                logger: logger,
                getConnection: getConnection
            )
        )
    }
}

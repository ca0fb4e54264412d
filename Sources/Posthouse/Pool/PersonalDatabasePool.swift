// SPDX-License-Identifier: Apache-2.0

public import Logging
public import PosthousePool
public import PosthousePostgres
import PosthouseReactor

/// One PostgreSQL connection for each task, and for each thread that runs synchronous code. See ``PersonalPool``.
///
/// A session has one user only, so what that leaves in it stays; but a transaction that is open at the end of the outermost
/// scope is rolled back.
///
/// ```swift
/// let pool = try PersonalDatabasePool("postgresql://app@db/shop")
/// try await pool.withTaskLifetime {
///     try await pool.withConnection { db in try await db.execute("CREATE TEMP TABLE found (id int)") }
///     try await pool.withConnection { db in ... }   // the same session
/// }                                                 // closed here
/// ```
public final class PersonalDatabasePool: Sendable {
    private let pool: PersonalPool<DatabaseStrategy>
    private let log: PoolLog?

    private init(
        strategy: DatabaseStrategy,
        configuration: PoolConfiguration,
        lingering: Duration,
        log: PoolLog?
    ) throws(PoolError) {
        pool = try PersonalPool(
            strategy: strategy,
            configuration: configuration,
            lingering: lingering,
            observer: log
        )
        self.log = log
    }

    /// Makes a pool from a connection string.
    ///
    /// - Parameters:
    ///   - connectionString: A URI or keyword/value pairs, as libpq reads them. Of several hosts each connection goes to the first
    ///     that answers and is what `target_session_attrs` asks for.
    ///   - credentials: Looks up user and password for each connection that is opened. Default: what the connection string says.
    ///   - configuration: Limits, timeouts and the name. Default: at most 10 connections, made on demand.
    ///   - session: How sessions are set up.
    ///   - logger: Is told at the debug level of each connection that is opened, acquired, released and closed. Default:
    ///     nobody.
    ///   - lingering: How long the connection of a task that does not say when it ends stays open after the task's last scope.
    ///     Default: 1 s.
    /// - Throws: ``ConnectionStringError``; ``PoolError/Code/invalidConfiguration``; `ReactorError` if the system has no thread
    ///   or descriptor left for the event loops.
    public convenience init(
        _ connectionString: String,
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: PoolConfiguration = PoolConfiguration(),
        session: SessionOptions = SessionOptions(),
        lingering: Duration = .seconds(1),
        logger: Logger? = nil
    ) throws {
        try self.init(
            ConnectionParameters(connectionString),
            credentials: credentials,
            configuration: configuration,
            session: session,
            lingering: lingering,
            logger: logger
        )
    }

    /// Makes a pool from parsed parameters.
    ///
    /// - Parameters:
    ///   - parameters: The hosts, and how to log in to them.
    ///   - credentials: Looks up user and password for each connection that is opened. Default: what the parameters say.
    ///   - configuration: Limits, timeouts and the name. Default: at most 10 connections, made on demand.
    ///   - session: How sessions are set up.
    ///   - logger: Is told at the debug level of each connection that is opened, acquired, released and closed. Default:
    ///     nobody.
    ///   - lingering: How long the connection of a task that does not say when it ends stays open after the task's last scope.
    ///     Default: 1 s.
    /// - Throws: ``PoolError/Code/invalidConfiguration``; `ReactorError` if the system has no thread or descriptor left for the
    ///   event loops.
    public convenience init(
        _ parameters: ConnectionParameters,
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: PoolConfiguration = PoolConfiguration(),
        session: SessionOptions = SessionOptions(),
        lingering: Duration = .seconds(1),
        logger: Logger? = nil
    ) throws {
        let log = logger.map { PoolLog($0, name: configuration.name) }
        for notice in parameters.notices { logger?.warning("\(notice)") }
        try self.init(
            strategy: DatabaseStrategy(
                parameters,
                credentials: credentials,
                session: session,
                recycling: .fast,
                gates: [],
                configuration: configuration
            ),
            configuration: configuration,
            lingering: lingering,
            log: log
        )
    }

    /// Makes a pool whose connections somebody else opens.
    ///
    /// There are no parameters beside the callback: the connection it returns says everything.
    ///
    /// - Parameters:
    ///   - configuration: Limits, timeouts and the name. Default: at most 10 connections, made on demand.
    ///   - lingering: How long the connection of a task that does not say when it ends stays open after the task's last scope.
    ///     Default: 1 s.
    ///   - logger: Is told at the debug level of each connection that is opened, acquired, released and closed. Default:
    ///     nobody.
    ///   - getConnection: Opens a connection, by ``DatabaseConnection/connect(to:parameters:options:loop:deadline:events:executor:)``
    ///     for example. Called once for each physical connection, never when one is used again, so it is the place to look up a
    ///     security token. What it throws reaches the request that asked for the connection, as ``PoolError/underlying``. The
    ///     pool owns the connection from then on; one that is closed, busy or in a transaction, or was returned before, is an
    ///     error.
    /// - Throws: ``PoolError/Code/invalidConfiguration``.
    public convenience init(
        configuration: PoolConfiguration = PoolConfiguration(),
        lingering: Duration = .seconds(1),
        logger: Logger? = nil,
        getConnection: @escaping @Sendable () async throws -> DatabaseConnection
    ) throws {
        try self.init(
            strategy: DatabaseStrategy(getConnection, recycling: .fast, gates: [], configuration: configuration),
            configuration: configuration,
            lingering: lingering,
            log: logger.map { PoolLog($0, name: configuration.name) }
        )
    }

    /// Runs `body` with the current task's connection, which is opened if the task has none. Nested scopes of the same task get
    /// the same connection, other tasks never do.
    ///
    /// - Throws: ``PoolError`` if there was no connection; what `body` throws.
    @discardableResult
    public nonisolated(nonsending) func withConnection<Result>(
        _ body: nonisolated(nonsending) (DatabaseSession) async throws -> Result
    ) async throws -> Result {
        try await pool.withLease { connection, permit in
            let log = log?.acquired(connection)
            defer { withExtendedLifetime(log) {} }
            return try await body(DatabaseSession(connection: connection, permit: SendPermit(permit)))
        }
    }

    /// Says when the current task is done with its connection: it is closed when `body` ends, and kept until then. See
    /// ``PersonalPool/withTaskLifetime(_:)``.
    @discardableResult
    public nonisolated(nonsending) func withTaskLifetime<Result>(
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        try await pool.withTaskLifetime(body)
    }

    /// Runs synchronous code with the current thread's connection, which is opened if the thread has none, and closed when the
    /// thread ends. The thread is blocked while it waits for the server.
    ///
    /// - Throws: ``PoolError/Code/insideTask`` in a task or on an event loop; else as ``withConnection(_:)``.
    @discardableResult
    public func withThreadConnection<Result>(
        _ body: (BlockingSession) throws -> Result
    ) throws -> Result {
        if EventLoop.currentIndex != nil {
            throw PoolError(
                code: .insideTask,
                message: "a call that blocks its thread was made on an event loop, which the connections need"
            )
        }
        return try pool.withThreadLease { connection, permit in
            let log = log?.acquired(connection)
            defer { withExtendedLifetime(log) {} }
            return try body(
                BlockingSession(DatabaseSession(connection: connection, permit: SendPermit(permit)))
            )
        }
    }

    /// What the pool looks like now.
    public func status() -> PersonalPoolStatus { pool.status() }

    /// Refuses new scopes and closes every connection: idle ones now, those in use when their outermost scope ends.
    ///
    /// - Parameter deadline: When those that are still in use are interrupted. Default `nil`: waits as long as it takes.
    /// - Returns: How many connections were still in use at the end.
    @discardableResult
    public nonisolated(nonsending) func close(deadline: ContinuousClock.Instant? = nil) async -> Int {
        let left = await pool.close(deadline: deadline)
        log?.closed(leaving: left)
        return left
    }

    /// Closes the pool at once: running statements fail with ``DatabaseError/Code/terminated``.
    public func terminate() { pool.terminate() }
}

extension PersonalDatabasePool: ScopedPool {
    /// Whether the pool was closed or terminated.
    public var isClosed: Bool { pool.isClosed }
}

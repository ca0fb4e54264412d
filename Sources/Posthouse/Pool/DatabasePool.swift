// SPDX-License-Identifier: Apache-2.0

public import Logging
public import PosthousePool
public import PosthousePostgres
import Synchronization

/// A pool of connections to one PostgreSQL server, whichever that is; for several servers with roles see ``PostgresCluster``.
///
/// ```swift
/// let pool = try DatabasePool("postgresql://app@db/shop")
/// try await pool.withConnection { db in try await db.execute("UPDATE stock SET left = 0 WHERE id = \(id)") }
/// await pool.close()
/// ```
///
/// Made from connection parameters or from a callback that opens connections, never from both: no initializer takes both. A
/// connection that comes back in a transaction is rolled back before it is lent again; one in a COPY or with a statement
/// running is closed, as is one whose server hangs up while it is idle. What else of a session its next user may find is up to
/// the ``RecyclingMethod``.
///
/// A session that was closed here ends a little later on the server. At the limit the next one is opened only then, or after a
/// second, so that the server never sees more than the hard limit, unless it goes on for longer than that with a statement that
/// nobody waits for any more: that is up to its `client_connection_check_interval`.
public final class DatabasePool: Sendable {
    private let pool: ConnectionPool<DatabaseStrategy>
    private let gate: SessionGate
    private let log: PoolLog?
    private let hasEnded = Atomic<Bool>(false)

    private init(
        strategy: DatabaseStrategy,
        gate: SessionGate,
        configuration: PoolConfiguration,
        recycling: RecyclingMethod,
        queue: PoolGroupConfiguration?,
        log: PoolLog?
    ) throws(PoolError) {
        var configuration = configuration
        if recycling.validates { configuration.validation = .always }
        pool = try ConnectionPool(strategy: strategy, configuration: configuration, queue: queue, observer: log)
        self.gate = gate
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
    ///   - recycling: What is done with a session between two users. Default: ``RecyclingMethod/fast``.
    ///   - queue: How requests wait, with a name and an acquire timeout of its own; a budget that is shared with other pools.
    ///     Default: requests wait until the deadline, and a failed connect fails the request that asked for it.
    ///   - logger: Is told at the debug level of each connection that is opened, acquired, released and closed, and warned of
    ///     leases that last too long and of a server where no connection can be opened. Default: nobody.
    /// - Throws: ``ConnectionStringError``; ``PoolError/Code/invalidConfiguration``; `ReactorError` if the system has no thread
    ///   or descriptor left for the event loops.
    public convenience init(
        _ connectionString: String,
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: PoolConfiguration = PoolConfiguration(),
        session: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        queue: PoolGroupConfiguration? = nil,
        logger: Logger? = nil
    ) throws {
        try self.init(
            ConnectionParameters(connectionString),
            credentials: credentials,
            configuration: configuration,
            session: session,
            recycling: recycling,
            queue: queue,
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
    ///   - recycling: What is done with a session between two users. Default: ``RecyclingMethod/fast``.
    ///   - queue: How requests wait, with a name and an acquire timeout of its own; a budget that is shared with other pools.
    ///     Default: requests wait until the deadline, and a failed connect fails the request that asked for it.
    ///   - logger: Is told at the debug level of each connection that is opened, acquired, released and closed, and warned of
    ///     leases that last too long and of a server where no connection can be opened. Default: nobody.
    /// - Throws: ``PoolError/Code/invalidConfiguration``; `ReactorError` if the system has no thread or descriptor left for the
    ///   event loops.
    public convenience init(
        _ parameters: ConnectionParameters,
        credentials: DatabaseCredentials.Provider? = nil,
        configuration: PoolConfiguration = PoolConfiguration(),
        session: SessionOptions = SessionOptions(),
        recycling: RecyclingMethod = .fast,
        queue: PoolGroupConfiguration? = nil,
        logger: Logger? = nil
    ) throws {
        let log = logger.map { PoolLog($0, name: queue?.name ?? configuration.name) }
        for notice in parameters.notices { logger?.warning("\(notice)") }
        let gate = SessionGate(limit: configuration.burstLimit ?? configuration.maximumSize)
        try self.init(
            strategy: DatabaseStrategy(
                parameters,
                credentials: credentials,
                session: session,
                recycling: recycling,
                gates: Self.gates(gate, queue?.budget),
                configuration: configuration
            ),
            gate: gate,
            configuration: configuration,
            recycling: recycling,
            queue: queue,
            log: log
        )
    }

    /// Makes a pool whose connections somebody else opens.
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
    public convenience init(
        configuration: PoolConfiguration = PoolConfiguration(),
        recycling: RecyclingMethod = .fast,
        queue: PoolGroupConfiguration? = nil,
        logger: Logger? = nil,
        getConnection: @escaping @Sendable () async throws -> DatabaseConnection
    ) throws {
        let gate = SessionGate(limit: configuration.burstLimit ?? configuration.maximumSize)
        try self.init(
            strategy: DatabaseStrategy(
                getConnection,
                recycling: recycling,
                gates: Self.gates(gate, queue?.budget),
                configuration: configuration
            ),
            gate: gate,
            configuration: configuration,
            recycling: recycling,
            queue: queue,
            log: logger.map { PoolLog($0, name: queue?.name ?? configuration.name) }
        )
    }

    private static func gates(_ own: SessionGate, _ budget: ConnectionBudget?) -> [SessionGate] {
        budget.map { [own, SessionGate.shared(by: $0)] } ?? [own]
    }

    // MARK: - Use

    /// Lends a connection for the time that `body` runs.
    ///
    /// The handle is worthless afterwards: a statement through one that escaped throws ``DatabaseError/Code/leaseExpired``.
    ///
    /// - Throws: ``PoolError`` if there was no connection within ``PoolConfiguration/acquireTimeout``; what `body` throws.
    @discardableResult
    public nonisolated(nonsending) func withConnection<Result>(
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: nonisolated(nonsending) (DatabaseSession) async throws -> Result
    ) async throws -> Result {
        try await withConnection(deadline: nil, fileID: fileID, line: line, body)
    }

    /// Lends a connection for the time that `body` runs, if it gets one by `deadline`.
    ///
    /// - Parameters:
    ///   - deadline: When to give up; `nil`: now plus ``PoolConfiguration/acquireTimeout``.
    ///   - body: What to do with it.
    @discardableResult
    public nonisolated(nonsending) func withConnection<Result>(
        deadline: ContinuousClock.Instant?,
        fileID: StaticString = #fileID,
        line: UInt = #line,
        _ body: nonisolated(nonsending) (DatabaseSession) async throws -> Result
    ) async throws -> Result {
        let lease = try await acquire(deadline: deadline, fileID: fileID, line: line)
        let result = try await body(lease.session)
        try lease.release()
        return result
    }

    /// Takes a connection to keep until the lease is released or dropped.
    ///
    /// - Parameter deadline: When to give up; `nil` (the default): now plus ``PoolConfiguration/acquireTimeout``.
    /// - Throws: ``PoolError``: `timedOut`, `closed`, `cancelled`, `connectFailed`; `exhausted`, `unavailable`, `overloaded` if
    ///   requests do not wait without limits.
    public nonisolated(nonsending) func acquire(
        deadline: ContinuousClock.Instant? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws(PoolError) -> DatabaseLease {
        let affinity = DatabaseConnection.currentAffinity
        if let deadline {
            return DatabaseLease(
                try await pool.acquire(deadline: deadline, affinity: affinity, fileID: fileID, line: line),
                log
            )
        }
        return DatabaseLease(try await pool.acquire(affinity: affinity, fileID: fileID, line: line), log)
    }

    /// Takes a connection if one is idle. Never suspends, never opens one.
    ///
    /// - Throws: ``PoolError/Code/closed``.
    ///
    /// - Returns: nil if none is idle, or if each connection is validated before it is handed out.
    public func tryAcquire(
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) throws(PoolError) -> DatabaseLease? {
        let affinity = DatabaseConnection.currentAffinity
        guard let lease = try pool.tryAcquire(affinity: affinity, fileID: fileID, line: line) else { return nil }
        return DatabaseLease(lease, log)
    }

    /// Runs one statement on a connection of its own and returns how many rows it changed or returned.
    ///
    /// - Parameters:
    ///   - sql: One statement; its interpolated values are sent as parameters.
    ///   - timeout: How long it may take once there is a connection; nil (the default) for no limit.
    /// - Throws: ``PoolError``, ``DatabaseError``.
    @discardableResult
    public nonisolated(nonsending) func execute(
        _ sql: SQL,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws -> Int {
        try await withConnection(fileID: fileID, line: line) { db in try await db.execute(sql, timeout: timeout) }
    }

    /// Runs one statement on a connection of its own and returns its rows. See ``execute(_:timeout:fileID:line:)``.
    public nonisolated(nonsending) func query(
        _ sql: SQL,
        timeout: Duration? = nil,
        fileID: StaticString = #fileID,
        line: UInt = #line
    ) async throws -> Rows {
        try await withConnection(fileID: fileID, line: line) { db in try await db.query(sql, timeout: timeout) }
    }

    // MARK: - Looking and changing

    /// What the pool looks like now.
    public func status() -> PoolStatus { pool.status() }

    /// Changes the limits. Idle connections above the soft limit are closed at once, leased ones when they come back; new room
    /// serves waiting requests at once.
    ///
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for a size below 1 or above the burst limit.
    public func resize(maximumSize: Int, burstLimit: Int? = nil) throws(PoolError) {
        try pool.resize(maximumSize: maximumSize, burstLimit: burstLimit)
        gate.setLimit(burstLimit ?? maximumSize)
    }

    /// Replaces all connections: idle ones are closed now, leased ones when they come back.
    public func expire() { pool.expire() }

    // MARK: - End

    /// Refuses new requests, fails those that wait, and closes every connection: idle ones now, leased ones as they come back.
    ///
    /// A connection that does not close well does not keep the others from being closed.
    ///
    /// - Parameter deadline: When those that are still leased are interrupted. Default `nil`: waits as long as it takes.
    ///   Cancelling the calling task counts as its deadline.
    /// - Returns: How many connections were still leased at the end.
    @discardableResult
    public nonisolated(nonsending) func close(deadline: ContinuousClock.Instant? = nil) async -> Int {
        hasEnded.store(true, ordering: .releasing)
        let left = await pool.close(deadline: deadline)
        log?.closed(leaving: left)
        return left
    }

    /// Closes the pool at once: running statements fail with ``DatabaseError/Code/terminated``.
    public func terminate() {
        hasEnded.store(true, ordering: .releasing)
        pool.terminate()
    }
}

extension DatabasePool: ScopedPool {
    /// Whether the pool was closed or terminated.
    public var isClosed: Bool { hasEnded.load(ordering: .acquiring) }

    /// As ``withConnection(fileID:line:_:)``, where it is not known who calls.
    @_disfavoredOverload
    public nonisolated(nonsending) func withConnection<Result>(
        _ body: nonisolated(nonsending) (DatabaseSession) async throws -> Result
    ) async throws -> Result {
        try await withConnection(deadline: nil, body)
    }
}

/// A connection that is yours until you release or drop it.
///
/// It cannot be copied, so it cannot be given back twice.
public struct DatabaseLease: ~Copyable {
    private let lease: Lease<DatabaseConnection>
    /// What to send statements through; worthless after the release.
    public let session: DatabaseSession
    private let log: LeaseLog?

    init(_ lease: consuming Lease<DatabaseConnection>, _ log: PoolLog?) {
        let connection = lease.connection
        self.session = DatabaseSession(connection: connection, permit: SendPermit(lease.permit))
        self.log = log?.acquired(connection)
        self.lease = lease
    }

    /// Gives the connection back.
    ///
    /// - Throws: What closing the connection threw, if it could not be kept.
    public consuming func release() throws {
        try lease.release()
    }
}

// SPDX-License-Identifier: Apache-2.0

/// What a connection finds out in passing, for whoever watches over hosts: evidence that costs no query.
///
/// Methods are called on the thread that found it out: by the task that is using the connection, while it is using it, or
/// by the connection's loop. They must not block and must not run statements on the connection. All have empty defaults.
public protocol ConnectionEvents: Sendable {
    /// The server reported another value of `in_hot_standby` than before. Watched while the last value was true: false
    /// means that the server has been promoted, and this very session may write now. Behind PgBouncer the report is
    /// wrong; compare `pg_backend_pid()` with ``DatabaseConnection/backendPID`` to know.
    func connection(_ connection: DatabaseConnection, changedInHotStandby inHotStandby: Bool)

    /// The connection broke, other than by the caller's own doing (a cancelled task, a deadline, a fence).
    func connection(_ connection: DatabaseConnection, wasLost error: DatabaseError)

    /// The server ended the session or refuses new ones: 57P01, 57P02, 57P03.
    func connection(_ connection: DatabaseConnection, sawShutdown sqlState: SQLState)

    /// A write was refused because the transaction or the server is read-only: 25006.
    func connectionSawReadOnlyError(_ connection: DatabaseConnection)

    /// Something arrived, or the other side hung up, while nobody was using the connection. Claim it where idle
    /// connections are kept, then call ``DatabaseConnection/processIdleInput()``. Called on the loop's thread.
    func connectionHasIdleInput(_ connection: DatabaseConnection)

    /// Whether ``connection(_:answeredAfter:)`` is to be called. Asked once, when the connection is made: two clock reads a
    /// statement.
    var measuresResponses: Bool { get }

    /// The server answered what was sent so long before; a statement that has to be prepared first is two answers.
    func connection(_ connection: DatabaseConnection, answeredAfter time: Duration)
}

extension ConnectionEvents {
    /// Does nothing.
    public func connection(_ connection: DatabaseConnection, changedInHotStandby inHotStandby: Bool) {}
    /// Does nothing.
    public func connection(_ connection: DatabaseConnection, wasLost error: DatabaseError) {}
    /// Does nothing.
    public func connection(_ connection: DatabaseConnection, sawShutdown sqlState: SQLState) {}
    /// Does nothing.
    public func connectionSawReadOnlyError(_ connection: DatabaseConnection) {}
    /// Does nothing.
    public func connectionHasIdleInput(_ connection: DatabaseConnection) {}
    /// No.
    public var measuresResponses: Bool { false }
    /// Does nothing.
    public func connection(_ connection: DatabaseConnection, answeredAfter time: Duration) {}
}

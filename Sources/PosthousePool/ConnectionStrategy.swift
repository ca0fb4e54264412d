// SPDX-License-Identifier: Apache-2.0

/// How a pool opens, checks and closes the connections it keeps.
///
/// A strategy implements one of the two `create` methods, ``isClosed(_:)`` and ``close(_:)``. The pool calls all of them
/// outside its lock, so a strategy may call back into the pool. It never calls two of them at the same time for the same
/// connection, except ``interrupt(_:reason:)``, which may come from any thread while the connection is leased.
public protocol ConnectionStrategy<Connection>: Sendable {
    /// What the pool keeps.
    associatedtype Connection: Sendable

    /// Opens a connection that will live in `slot`.
    ///
    /// Called only when no connection is idle and there is room for one more, on a task of the pool's own: it goes on when
    /// the request that caused it is cancelled or served by another connection. The task is cancelled when the connect
    /// timeout has passed or the pool closes; a connection that is returned after that is closed at once.
    ///
    /// The default calls ``create()``. Keep `slot` to claim the idle connection later (``PoolSlot/withIdleClaim(_:)``).
    ///
    /// - Throws: Anything; it becomes ``PoolError/underlying``.
    func create(slot: PoolSlot) async throws -> Connection

    /// Opens a connection; for strategies that do not need to know the slot.
    func create() async throws -> Connection

    /// Whether the connection must not be handed out (again).
    ///
    /// Synchronous and cheap: called every time a connection is taken and every time it comes back. `true` means that the
    /// pool calls ``close(_:)`` to free what is left of it (a failure of that goes to the observer) and takes another.
    ///
    /// - Throws: Any error means "invalid": the connection is dropped *without* ``close(_:)`` (the strategy must not leak
    ///   it), the error is suppressed and another connection is tried. A `CancellationError` is not suppressed: the
    ///   connection is dropped and the request fails with ``PoolError/Code/cancelled``.
    func isClosed(_ connection: Connection) throws -> Bool

    /// Finds out whether the connection works, by a round trip. Called as ``PoolConfiguration/validation`` and
    /// ``PoolConfiguration/keepAliveInterval`` say, on a task of the pool's own that is cancelled after
    /// ``PoolConfiguration/workTimeout``. The default does nothing.
    ///
    /// - Throws: Anything: the connection is closed, and a request gets another one.
    func validate(_ connection: Connection) async throws

    /// Whether connections of this strategy may have to be brought into order when they come back. Read once, when a
    /// connection was opened; if it is `false`, which is the default, ``needsRecycling(_:)`` is not called, and only
    /// connections that ``canBeRecycled(_:)`` are.
    var recycles: Bool { get }

    /// Whether this connection, which just came back, has to be brought into order. Synchronous and cheap. Default `true`.
    func needsRecycling(_ connection: Connection) -> Bool

    /// Whether this connection, which just came back and counts as closed (``isClosed(_:)``), would not if it were recycled:
    /// it is in a transaction, for example. Then it is recycled. Synchronous and cheap. Default `false`: it is closed.
    func canBeRecycled(_ connection: Connection) -> Bool

    /// Brings a connection that came back into order for the next request: an open transaction rolled back, session state
    /// reset. Runs on a task of the pool's own, after the lease has ended, and is cancelled after
    /// ``PoolConfiguration/workTimeout``; nobody gets the connection meanwhile. The default does nothing.
    ///
    /// - Throws: Anything: the connection is closed.
    func recycle(_ connection: Connection) async throws

    /// Closes the connection. Start a task if closing takes time; the connection counts against the pool's limits until
    /// this returns.
    ///
    /// - Throws: The connection is gone all the same. The error reaches the end of the scope that returned the connection,
    ///   or the observer where there is no such scope.
    func close(_ connection: Connection) throws

    /// Makes the work that runs on a leased connection fail soon; called from any thread. The default does nothing: the
    /// connection is then closed when it comes back.
    func interrupt(_ connection: Connection, reason: InterruptReason)

    /// How often the other side has answered on this connection, if that is counted; it only grows. Called from any thread,
    /// at any time, with the pool's lock held: an atomic load, and nothing more. Default 0: not counted.
    func answers(on connection: Connection) -> UInt64

    /// A small number that says where the connection is at home (for example which event loop serves its socket). Read
    /// once, when the connection was opened. Requests with the same ``AcquireRequest/affinity`` prefer it. Default 0: none.
    func affinity(of connection: Connection) -> Int
}

extension ConnectionStrategy {
    /// Calls ``create()``.
    public func create(slot: PoolSlot) async throws -> Connection {
        try await create()
    }

    /// Always throws: a strategy implements this or ``create(slot:)``.
    public func create() async throws -> Connection {
        throw PoolError(
            code: .invalidConfiguration,
            message: "\(type(of: self)) implements neither create() nor create(slot:)"
        )
    }

    /// Does nothing.
    public func validate(_ connection: Connection) async throws {}

    /// `false`.
    public var recycles: Bool { false }

    /// `true`.
    public func needsRecycling(_ connection: Connection) -> Bool { true }

    /// `false`.
    public func canBeRecycled(_ connection: Connection) -> Bool { false }

    /// Does nothing.
    public func recycle(_ connection: Connection) async throws {}

    /// Does nothing.
    public func interrupt(_ connection: Connection, reason: InterruptReason) {}

    /// 0: not counted.
    public func answers(on connection: Connection) -> UInt64 { 0 }

    /// 0: no home.
    public func affinity(of connection: Connection) -> Int { 0 }
}

/// Why a leased connection is interrupted.
public struct InterruptReason: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String { case fenced, terminated, unresponsive }

    private let kind: Kind

    /// Its member was fenced: nothing more may be sent there.
    public static let fenced = InterruptReason(kind: .fenced)
    /// The pool was terminated, or its graceful close ran into its deadline.
    public static let terminated = InterruptReason(kind: .terminated)

    /// Validating or recycling it, or a hook, took longer than ``PoolConfiguration/workTimeout``.
    public static let unresponsive = InterruptReason(kind: .unresponsive)

    /// The reason as a word.
    public var description: String { kind.rawValue }
}

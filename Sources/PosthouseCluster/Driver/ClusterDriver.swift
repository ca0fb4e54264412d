// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// What the cluster needs of a database driver: five members, and a few more that a driver may offer.
///
/// The cluster knows no wire protocol. It opens connections through the driver, asks each server who it is
/// (``probe(_:deadline:)``), and hands users a ``Session`` that refuses to send once its permit is withdrawn.
///
/// A connection is used by one owner at a time: the monitor, the lease holder, or the driver's own loop after it
/// has claimed the idle slot. Only ``interrupt(_:reason:)`` is called from elsewhere.
public protocol ClusterDriver: Sendable {
    /// Where a server is reached. Its description, "host:port", names the host in errors and events.
    associatedtype Endpoint: Sendable, Hashable, CustomStringConvertible
    /// A physical connection.
    associatedtype Connection: Sendable
    /// What a user works with while a lease lasts.
    associatedtype Session

    /// Opens a connection. Must end by `deadline`, and promptly when its task is cancelled.
    ///
    /// - Parameters:
    ///   - endpoint: The server to connect to.
    ///   - purpose: A monitor's session must not share a thread with user code.
    ///   - observer: Is told what the connection notices by itself, for free.
    ///   - deadline: When the attempt has to be over.
    func connect(
        to endpoint: Endpoint,
        for purpose: ConnectionPurpose,
        observer: any ConnectionObserver,
        deadline: ContinuousClock.Instant
    ) async throws -> Connection

    /// Asks the server on this connection for its identity and role.
    func probe(_ connection: Connection, deadline: ContinuousClock.Instant) async throws -> HostReport

    /// Asks again, on a connection whose server has told all a moment ago: what stays the same within one run of a server need
    /// not be asked. It is to be cheap, and to answer while the server is busy with its promotion: it is asked some 200 times a
    /// second while the primary is missing. The driver makes sure that it is the same run of the same server that answers, and
    /// asks for all if not. Default: ``probe(_:deadline:)``.
    ///
    /// - Parameters:
    ///   - connection: The one that told `known`.
    ///   - known: What the server said when it was asked for all.
    ///   - deadline: When the attempt has to be over.
    func probe(
        _ connection: Connection,
        knowing known: HostReport,
        deadline: ContinuousClock.Instant
    ) async throws -> HostReport

    /// Makes the handle a user gets; every statement sent through it must pass `permit.check()` first.
    func session(on connection: Connection, permit: LeasePermit) -> Session

    /// Whether the connection must not be handed out: closed, broken, or not back in its resting state.
    func isClosed(_ connection: Connection) -> Bool

    /// Closes the connection at once. Called by its owner, never while it is leased.
    func close(_ connection: Connection)

    /// Makes the running work of a leased connection fail soon. From any thread. Default: nothing.
    func interrupt(_ connection: Connection, reason: InterruptReason)

    /// Finds out by a round trip whether the connection works. Default: ``probe(_:deadline:)``.
    ///
    /// - Returns: What the server said of itself on the way, as evidence like any other; nil if it was not asked.
    func validate(_ connection: Connection, deadline: ContinuousClock.Instant) async throws -> HostReport?

    /// Whether each connection is validated before it is handed out, whatever the configuration says. Default: false.
    var validatesEachHandOut: Bool { get }

    /// Whether ``needsRecycling(_:)`` is to be asked of each connection that comes back. Default: false.
    var recycles: Bool { get }

    /// Whether a connection that came back has to be brought into order. Cheap. Default: true.
    func needsRecycling(_ connection: Connection) -> Bool

    /// Whether a connection that came back and counts as closed would not if it were recycled. Cheap. Default: false.
    func canBeRecycled(_ connection: Connection) -> Bool

    /// Brings a connection that came back into order for the next user; if it throws, the connection is closed. Default:
    /// nothing.
    func recycle(_ connection: Connection, deadline: ContinuousClock.Instant) async throws

    /// Waits until the replica behind the connection has replayed what the token stands for.
    ///
    /// The token is of the replica's timeline or an earlier one. Default: does not wait, because it cannot tell.
    ///
    /// - Returns: Whether it has; false at `deadline`, and if that cannot be told. True also on a server that was promoted
    ///   meanwhile.
    func waitForReplay(
        _ connection: Connection,
        of token: CommitToken,
        deadline: ContinuousClock.Instant
    ) async throws -> Bool

    /// How often the server has answered on this connection; it only grows. A host whose answers go on is not taken for frozen,
    /// however long its checks take. Called from any thread, at any time, with a lock held: an atomic load, and nothing more.
    /// Default: 0, not counted.
    func answers(on connection: Connection) -> UInt64

    /// What a failure to connect or to probe says of the host. Default: ``HostFailure/Kind/unreachable``.
    func classify(_ error: any Error) -> HostFailure

    /// Which event loop the connection lives on, so that a task already there prefers it. Default: 0.
    func affinity(of connection: Connection) -> Int

    /// The event loop that the caller runs on, as ``affinity(of:)`` numbers them. Default: 0, none.
    var currentAffinity: Int { get }
}

extension ClusterDriver {
    /// Asks for all.
    public func probe(
        _ connection: Connection,
        knowing known: HostReport,
        deadline: ContinuousClock.Instant
    ) async throws -> HostReport {
        try await probe(connection, deadline: deadline)
    }

    /// Does nothing.
    public func interrupt(_ connection: Connection, reason: InterruptReason) {}

    /// Asks the server who it is.
    public func validate(
        _ connection: Connection,
        deadline: ContinuousClock.Instant
    ) async throws -> HostReport? {
        try await probe(connection, deadline: deadline)
    }

    /// As the configuration says.
    public var validatesEachHandOut: Bool { false }

    /// Never.
    public var recycles: Bool { false }

    /// Always, where it is asked.
    public func needsRecycling(_ connection: Connection) -> Bool { true }

    /// No.
    public func canBeRecycled(_ connection: Connection) -> Bool { false }

    /// Does nothing.
    public func recycle(_ connection: Connection, deadline: ContinuousClock.Instant) async throws {}

    /// Cannot tell.
    public func waitForReplay(
        _ connection: Connection,
        of token: CommitToken,
        deadline: ContinuousClock.Instant
    ) async throws -> Bool {
        false
    }

    /// Not counted.
    public func answers(on connection: Connection) -> UInt64 { 0 }

    /// Proves nothing more than that the attempt failed.
    public func classify(_ error: any Error) -> HostFailure {
        HostFailure(.unreachable, reason: String(describing: error))
    }

    /// No home.
    public func affinity(of connection: Connection) -> Int { 0 }

    /// On no loop.
    public var currentAffinity: Int { 0 }
}

/// Why a connection is opened.
public enum ConnectionPurpose: Sendable, Hashable {
    /// For users, kept in the pool.
    case pool
    /// For health checks, outside the pool and its limits.
    case monitor
}

/// Told by the driver what a connection learned without being asked.
///
/// Any of these raises suspicion and leads to a probe; none of them changes a host's state by itself.
public protocol ConnectionObserver: AnyObject, Sendable {
    /// Called from any thread; returns quickly and never calls back into the connection.
    func connection(noticed evidence: PassiveEvidence)

    /// Runs `body` while the connection is held out of the idle set, if it is idle there; else does nothing.
    ///
    /// A driver calls this when an idle socket becomes readable, to find out whether the server said goodbye.
    ///
    /// - Returns: Whether `body` ran.
    @discardableResult
    func withIdleClaim(_ body: () -> IdleVerdict) -> Bool

    /// Whether somebody wants to know how long answers take. Asked once, when a connection is opened: it costs nothing where
    /// nobody does. Default: false.
    var measuresResponses: Bool { get }

    /// A statement was answered, so long after it was sent. Called by whoever uses the connection, if
    /// ``measuresResponses`` says so; a driver that does not measure never calls it. Default: nothing.
    func connection(answeredAfter time: Duration)
}

extension ConnectionObserver {
    /// Nobody.
    public var measuresResponses: Bool { false }

    /// Does nothing.
    public func connection(answeredAfter time: Duration) {}
}

/// What a connection can notice by itself.
public enum PassiveEvidence: Sendable, Hashable {
    /// The server reported `in_hot_standby = off` on a session where it was `on`: it has been promoted.
    case leftRecovery
    /// The socket was closed or reset by the other side.
    case connectionLost
    /// The server announced its end (57P01, 57P02, 57P03).
    case shutdownAnnounced
    /// A write was refused as read-only (25006). May be the user's own `BEGIN READ ONLY`.
    case writeRefused
    /// A statement has waited long for its answer.
    case silence
}

// SPDX-License-Identifier: Apache-2.0

public import PosthouseReactor
import Synchronization

/// One session with one PostgreSQL server.
///
/// ```swift
/// let connection = try await DatabaseConnection.connect(
///     to: parameters.hosts[0], parameters: parameters, loop: loop, deadline: .now + .seconds(10))
/// let rows = try await connection.query("SELECT name FROM people WHERE id = \(id)")
/// connection.close()
/// ```
///
/// One task uses it at a time; a second one gets ``DatabaseError/Code/connectionBusy``. A statement that was broken off
/// (cancelled task, deadline, lost server) leaves the connection broken: it is discarded, because what the server is still
/// doing cannot be known.
///
/// Messages of `NOTIFY` that arrive here are dropped.
public final class DatabaseConnection: Sendable {
    /// Where it is connected to.
    public let endpoint: HostEndpoint

    /// `host:port`, as it appears in errors.
    public let host: String

    /// The server process, as the login said; behind a pooler it may be the pooler's invention.
    public let backendPID: Int32

    /// The server's version: 150018 is 15.18.
    public let serverVersion: Int

    /// True if the connection is encrypted with TLS.
    public let isEncrypted: Bool

    /// The loop that watches its socket.
    public let loop: EventLoop

    let pq: LibPQConnection
    let notices: NoticeSink
    let registration: SocketRegistration
    let events: (any ConnectionEvents)?

    /// Whether somebody wants to know how long answers take.
    let measuresResponses: Bool

    /// Where the connection is kept while it is idle, if its maker did not say so by ``events``.
    let keeper = AtomicLazyReference<IdleKeeper>()

    /// Whom to tell when it is closed, if anybody.
    let aftermath = AtomicLazyReference<Aftermath>()

    /// See ``ConnectionWord``.
    let word = Atomic<UInt32>(ConnectionWord.born.bits)

    /// Why the connection was interrupted; the first reason stays.
    let interruption = Atomic<UInt8>(0)

    /// The last `in_hot_standby` that the server reported.
    let standby: Atomic<StandbyReport>

    /// How many exchanges of the session may have left something on the server that outlasts it: what was not in a
    /// transaction, or committed one, or was lost. Whoever compares it before and after knows that nothing was done.
    let effects = Atomic<UInt64>(0)

    /// How many exchanges of the session the server has answered. Written by the owner only.
    let answers = Atomic<UInt64>(0)

    /// Touched by the owner only: the task whose swap made ``word`` busy, until its release.
    nonisolated(unsafe) var statements: StatementCache

    /// Touched by the owner only, like ``statements``.
    nonisolated(unsafe) let parameterBuffer = ParameterBuffer()

    /// Takes over a connection that is logged in and that the caller owns; ``release()`` makes it usable.
    init(
        _ established: EstablishedConnection,
        endpoint: HostEndpoint,
        options: SessionOptions,
        registration: SocketRegistration,
        events: (any ConnectionEvents)?
    ) {
        self.endpoint = endpoint
        self.host = endpoint.description
        self.pq = established.pq
        self.notices = established.notices
        self.registration = registration
        self.loop = registration.loop
        self.events = events
        measuresResponses = events?.measuresResponses ?? false
        backendPID = established.pq.backendPID
        serverVersion = Int(established.pq.serverVersion)
        isEncrypted = established.pq.isEncrypted
        standby = Atomic(StandbyReport(established.pq.inHotStandby))
        statements = StatementCache(capacity: options.statementCacheSize)
    }

    deinit {
        let state = ConnectionWord(bits: word.load(ordering: .acquiring))
        guard !state.isFreed else { return }
        // Nobody else has a reference. A claim cannot be open: its task would hold one.
        if !state.isBusy { pq.take() }
        free()
    }
}

/// What a server said about being a standby.
enum StandbyReport: UInt8, AtomicRepresentable {
    case notReported, on, off

    init(_ reported: Bool?) {
        self = reported.map { $0 ? .on : .off } ?? .notReported
    }
}

// MARK: - Ownership

extension DatabaseConnection {
    var state: ConnectionWord {
        ConnectionWord(bits: word.load(ordering: .acquiring))
    }

    /// Swaps the word by a transition; nil if the transition does not apply to what it finds.
    @inline(__always)
    @discardableResult
    func move(_ transition: (ConnectionWord) -> ConnectionWord?) -> (old: ConnectionWord, new: ConnectionWord)? {
        var old = ConnectionWord(bits: word.load(ordering: .relaxed))
        while true {
            guard let new = transition(old) else { return nil }
            let (exchanged, found) = word.weakCompareExchange(
                expected: old.bits,
                desired: new.bits,
                ordering: .acquiringAndReleasing
            )
            if exchanged { return (old, new) }
            old = ConnectionWord(bits: found)
        }
    }

    /// Makes the caller the owner, until ``release()``.
    ///
    /// - Parameter use: Whether a statement is to be sent that may leave something in the session.
    @inline(__always)
    func claim(toUse use: Bool = false) throws(DatabaseError) {
        guard move({ $0.claimed(toUse: use) }) != nil else { throw refusedClaim() }
        pq.take()
    }

    /// The owner is done. If the connection is to be closed, the owner frees it.
    @inline(__always)
    func release() {
        let status = pq.transactionStatus
        pq.giveBack()
        if move({ $0.isClosing ? nil : $0.released(status) }) == nil {
            pq.take()
            free()
        }
    }

    /// Called by the owner: no statement may follow on this session.
    func breakOff() {
        move { $0.breaking() }
        shutDownSocket()
    }

    /// Ends the conversation at once, without closing the descriptor: libpq does that. Called by the owner, who alone knows
    /// whether libpq still has the socket; by another thread the number could belong to somebody else by now.
    func shutDownSocket() {
        let socket = pq.socket
        if socket >= 0 { SocketProbe.shutDown(socket) }
    }

    /// Frees everything. Called by the owner of a connection that is closing.
    func free() {
        registration.deregister()
        let aftermath = aftermath.load()
        let farEnd = aftermath == nil ? nil : FarEnd(of: pq.socket)
        pq.finish()
        move { $0.freed() }
        aftermath?.closed(farEnd)
    }
}

// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import PosthouseReactor
import Synchronization

extension DatabaseConnection {
    /// Where the session is with respect to transactions, after the last answer. Costs one atomic load.
    public var transactionStatus: TransactionStatus { state.transactionStatus }

    /// True if no statement can be sent any more: closed, broken or interrupted. Costs one atomic load.
    public var isClosed: Bool { state.isUnusable }

    /// True if the session can be handed to somebody else: alive as far as is known, not in use, outside a transaction
    /// and a COPY, with no answer pending.
    ///
    /// Costs two atomic loads. Only if something has arrived since the last answer (a notice, or the server's farewell)
    /// is it read, without blocking. Call it where nobody else uses the connection.
    public var isReusable: Bool {
        guard state.isReusable else { return false }
        return registration.hasPendingEvent ? processIdleInput() && state.isReusable : true
    }

    /// The server's last `in_hot_standby` report: true for a standby; nil if the server does not report it (before
    /// PostgreSQL 14).
    public var inHotStandby: Bool? {
        switch standby.load(ordering: .relaxed) {
        case .on: true
        case .off: false
        case .notReported: nil
        }
    }

    /// How many statements, and what else was asked on this session, the server has answered; whoever watches it sees whether
    /// the server lives. From any thread; costs one atomic load.
    package var answerCount: UInt64 { answers.load(ordering: .relaxed) }

    /// What the server last reported of a setting, such as `server_version`, `TimeZone` or `in_hot_standby`; nil if it does
    /// not report that one.
    ///
    /// - Throws: ``DatabaseError/Code/connectionBusy`` while a statement runs, ``DatabaseError/Code/connectionClosed``.
    public func parameterStatus(_ name: String) throws(DatabaseError) -> String? {
        try claim()
        defer { release() }
        return pq.parameterStatus(name)
    }

    /// Reads what arrived while nobody used the connection: notices, parameter changes, or the end. Does not block.
    ///
    /// Call it where nobody else can start to use the connection meanwhile.
    ///
    /// - Returns: whether the connection is still alive. True also if it is in use: then its user will find out.
    @discardableResult
    public func processIdleInput() -> Bool {
        guard move({ $0.claimed() }) != nil else { return !state.isUnusable }
        pq.take()
        defer { release() }
        if let lost = readIdleInput() {
            report(lost)
            return false
        }
        return true
    }

    /// Called by the owner between two statements: reads all that has arrived.
    ///
    /// - Returns: the loss of the connection, if that is what arrived; the connection is broken off then.
    func readIdleInput() -> DatabaseError? {
        _ = registration.takePendingEvents()
        var isAlive = pq.consumeInput()
        while isAlive, kernelHoldsInput {
            isAlive = pq.consumeInput()
        }
        // Parses what was read; an idle session gets errors as notices.
        pq.dropNotifications()
        noteStandby()
        guard !isAlive || notices.sessionEnd != nil || pq.status != CONNECTION_OK else { return nil }
        breakOff()
        return lostConnection(phase: .sending, outcome: .notSent)
    }

    /// True if the socket has something to read, be it the end. One system call.
    var kernelHoldsInput: Bool {
        let socket = pq.socket
        return socket >= 0 && SocketProbe.input(of: socket) != .nothing
    }

    /// Called by the owner: compares the server's role with what is known.
    @inline(__always)
    func noteStandby() {
        // Only a standby changes its role within a session; for others this is one load.
        guard standby.load(ordering: .relaxed) == .on, pq.inHotStandby == false else { return }
        standby.store(.off, ordering: .relaxed)
        events?.connection(self, changedInHotStandby: false)
    }
}

// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import PosthouseReactor

/// A connection that is logged in. Its maker owns it.
struct EstablishedConnection {
    let pq: LibPQConnection
    let notices: NoticeSink
}

/// One try to connect to one address.
struct ConnectAttempt {
    let endpoint: HostEndpoint
    /// Numeric; nil for a Unix socket.
    let address: String?
    let parameters: [(keyword: String, value: String)]
    let options: SessionOptions
    let loop: EventLoop
    let deadline: ContinuousClock.Instant

    /// How errors name the server.
    private var host: String {
        guard let address, address != endpoint.host else { return endpoint.description }
        return "\(endpoint) (\(address))"
    }

    /// Connects and logs in. On any failure nothing is left behind.
    func run() async throws(DatabaseError) -> EstablishedConnection {
        guard let pq = LibPQConnection.start(parameters) else {
            throw DatabaseError(
                code: .localFailure,
                message: "Memory ran out while connecting to \(host).",
                host: host,
                phase: .connecting,
                outcome: .notSent
            )
        }
        pq.take()
        let notices = NoticeSink(handler: options.noticeHandler)
        do {
            pq.setNoticeReceiver(Unmanaged.passUnretained(notices))
            pq.setVerboseErrors()
            try await logIn(pq)
            pq.setNonBlocking()
        } catch {
            pq.finish()
            throw error
        }
        return EstablishedConnection(pq: pq, notices: notices)
    }

    private func logIn(_ pq: LibPQConnection) async throws(DatabaseError) {
        var facts = ConnectFailure(host: host)
        guard pq.status != CONNECTION_BAD else {
            facts.hadSocket = false
            facts.message = pq.errorMessage
            throw facts.error
        }
        let registration = try register(pq.socket)
        // Also when libpq has closed the socket already: the loop knows whose number it is.
        defer { registration.deregister() }
        // Before the first poll the socket has to be writable, whatever libpq says.
        var interest = Readiness.write
        while true {
            try await wait(registration, for: interest, &facts, pq)
            look(at: pq, before: interest, &facts)
            if facts.connectError != 0 { throw facts.error }
            let result = pq.connectPoll()
            switch result {
            case PGRES_POLLING_OK: return
            case PGRES_POLLING_READING: interest = .read
            case PGRES_POLLING_WRITING: interest = .write
            default:
                facts.message = pq.errorMessage
                facts.needsPassword = pq.needsPassword
                throw facts.error
            }
            try reregister(registration, pq.socket)
        }
    }

    /// Notes what the next step will find, because libpq will tell it only in words.
    private func look(at pq: LibPQConnection, before interest: Readiness, _ facts: inout ConnectFailure) {
        let socket = pq.socket
        facts.status = pq.status
        facts.isEncrypted = pq.isEncrypted
        facts.connectError = facts.status == CONNECTION_STARTED ? SocketProbe.connectError(of: socket) : 0
        facts.input = interest == .read ? SocketProbe.input(of: socket) : .nothing
    }

    private func wait(
        _ registration: SocketRegistration,
        for interest: Readiness,
        _ facts: inout ConnectFailure,
        _ pq: LibPQConnection
    ) async throws(DatabaseError) {
        do throws(SocketWaitError) {
            try await registration.wait(for: interest, until: deadline)
        } catch {
            facts.status = pq.status
            throw brokenOff(by: error, phase: facts.phase)
        }
    }

    private func brokenOff(by reason: SocketWaitError, phase: DatabaseError.Phase) -> DatabaseError {
        let (code, message): (DatabaseError.Code, String) =
            switch reason {
            case .cancelled: (.cancelled, "Connecting to \(host) was cancelled.")
            case .timedOut: (.timedOut, "\(host) did not answer in time while \(phase).")
            default: (.localFailure, "The event loop was shut down while connecting to \(host).")
            }
        return DatabaseError(code: code, message: message, host: host, phase: phase, outcome: .notSent)
    }

    private func register(_ socket: Int32) throws(DatabaseError) -> SocketRegistration {
        do throws(ReactorError) {
            return try loop.register(socket)
        } catch {
            throw refused(error)
        }
    }

    /// After each poll the socket may be another one, even with the same number, and then epoll has forgotten it.
    private func reregister(_ registration: SocketRegistration, _ socket: Int32) throws(DatabaseError) {
        do throws(ReactorError) {
            try registration.replace(with: socket)
        } catch {
            throw refused(error)
        }
    }

    private func refused(_ error: ReactorError) -> DatabaseError {
        DatabaseError(
            code: .localFailure,
            message: "The socket to \(host) cannot be watched: \(error).",
            host: host,
            phase: .connecting,
            outcome: .notSent
        )
    }
}

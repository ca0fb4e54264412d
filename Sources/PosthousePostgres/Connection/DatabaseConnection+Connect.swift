// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import PosthouseReactor
import Synchronization

extension DatabaseConnection {
    /// Connects to a server and logs in.
    ///
    /// A host name is resolved off the loop, and its addresses are tried in turn, each with an equal share of the time that
    /// is left. The work of a login (TLS, SCRAM) costs milliseconds of a processor; it is done on the default executor, even
    /// if the calling task prefers the loop, unless the caller says where.
    ///
    /// - Parameters:
    ///   - endpoint: The host, one of `parameters.hosts`.
    ///   - parameters: Everything else that the connection string says.
    ///   - options: How the session is set up.
    ///   - loop: Watches the socket from now on.
    ///   - deadline: For everything: name, socket, TLS, login.
    ///   - events: Learns what the connection finds out in passing.
    ///   - executor: Does the work of the login; nil (the default) is the default executor. A monitor gives its own loop, so
    ///     that it can log in while the application keeps every other thread busy.
    /// - Throws: ``DatabaseError`` with outcome `notSent`. If several addresses failed, that of the last one, with all of
    ///   them in ``DatabaseError/attempts``.
    public static func connect(
        to endpoint: HostEndpoint,
        parameters: ConnectionParameters,
        options: SessionOptions = SessionOptions(),
        loop: EventLoop,
        deadline: ContinuousClock.Instant,
        events: (any ConnectionEvents)? = nil,
        executor: (any TaskExecutor)? = nil
    ) async throws(DatabaseError) -> DatabaseConnection {
        try await connect(
            to: endpoint,
            parameters: parameters,
            options: options,
            loop: loop,
            deadline: deadline,
            events: events,
            executor: executor,
            resolver: .shared
        )
    }

    static func connect(
        to endpoint: HostEndpoint,
        parameters: ConnectionParameters,
        options: SessionOptions,
        loop: EventLoop,
        deadline: ContinuousClock.Instant,
        events: (any ConnectionEvents)?,
        executor: (any TaskExecutor)? = nil,
        resolver: Resolver
    ) async throws(DatabaseError) -> DatabaseConnection {
        let work = ConnectWork(
            endpoint: endpoint,
            parameters: parameters,
            options: options,
            loop: loop,
            deadline: deadline,
            events: events,
            resolver: resolver
        )
        let place = executor ?? globalConcurrentExecutor
        return try await withTaskExecutorPreference(place) { () async throws(DatabaseError) in
            try await work.run()
        }
    }
}

/// Everything from a host name to a usable connection.
private struct ConnectWork: Sendable {
    let endpoint: HostEndpoint
    let parameters: ConnectionParameters
    let options: SessionOptions
    let loop: EventLoop
    let deadline: ContinuousClock.Instant
    let events: (any ConnectionEvents)?
    let resolver: Resolver

    /// Off the caller's actor: a login reads files and computes for milliseconds.
    @concurrent
    func run() async throws(DatabaseError) -> DatabaseConnection {
        let addresses = try await addresses()
        var attempts: [DatabaseError] = []
        for (index, address) in addresses.enumerated() {
            do throws(DatabaseError) {
                return try await connect(to: address, leaving: addresses.count - index)
            } catch {
                attempts.append(error)
                if !error.isWorthAnotherAddress { break }
            }
        }
        guard var error = attempts.last else { throw noAddress() }
        if attempts.count > 1 { error.attempts = attempts }
        throw error
    }

    /// Numeric addresses to try, in order; nil stands for a Unix socket.
    private func addresses() async throws(DatabaseError) -> [String?] {
        if endpoint.isUnixSocket { return [nil] }
        if let address = endpoint.hostAddress { return [address] }
        if NumericAddress.isValid(endpoint.host) { return [endpoint.host] }
        do throws(ResolverFailure) {
            let found = try await resolver.addresses(of: endpoint.host, loop: loop, deadline: deadline)
            return parameters.loadBalanceHosts == .random ? found.shuffled() : found
        } catch {
            throw error.databaseError(host: endpoint)
        }
    }

    private func noAddress() -> DatabaseError {
        ResolverFailure.notFound("the answer holds no address").databaseError(host: endpoint)
    }

    /// - Parameter count: how many addresses are left to try, this one included: each gets its share of the time.
    private func connect(to address: String?, leaving count: Int) async throws(DatabaseError) -> DatabaseConnection {
        let now = ContinuousClock.now
        var share = now + max(.zero, deadline - now) / count
        if let limit = parameters.connectTimeout { share = min(share, now + limit) }
        let attempt = ConnectAttempt(
            endpoint: endpoint,
            address: address,
            parameters: sessionParameters(address: address),
            options: options,
            loop: loop,
            deadline: share
        )
        let established = try await attempt.run()
        return try await open(established, until: share)
    }

    /// What libpq is told, with the defaults of this driver.
    private func sessionParameters(address: String?) -> [(keyword: String, value: String)] {
        var list = parameters.libpqParameters(for: endpoint, address: address)
        // Results are decoded as UTF-8, whatever else is asked for.
        list.removeAll { $0.keyword == "client_encoding" }
        list.append(("client_encoding", "UTF8"))
        // libpq would ask the ticket server before each connection, blocking, where it was built with GSSAPI.
        if !list.contains(where: { $0.keyword == "gssencmode" }) { list.append(("gssencmode", "disable")) }
        if !list.contains(where: { $0.keyword == "fallback_application_name" }) {
            list.append(("fallback_application_name", "posthouse"))
        }
        if let timeZone = options.timeZone {
            // As a startup option: no round trip, and part of what RESET returns to. Blanks and backslashes are escaped.
            let escaped = timeZone.flatMap { $0 == " " || $0 == "\\" ? ["\\", $0] : [$0] }
            let option = "-c TimeZone=" + String(escaped)
            if let index = list.firstIndex(where: { $0.keyword == "options" }) {
                list[index].value += " " + option
            } else {
                list.append(("options", option))
            }
        }
        return list
    }

    private func open(
        _ established: EstablishedConnection,
        until deadline: ContinuousClock.Instant
    ) async throws(DatabaseError) -> DatabaseConnection {
        let relay = IdleRelay()
        let registration: SocketRegistration
        do throws(ReactorError) {
            registration = try loop.register(established.pq.socket) { _ in relay.forward() }
        } catch {
            established.pq.finish()
            throw DatabaseError(
                code: .localFailure,
                message: "The socket to \(endpoint) cannot be watched: \(error).",
                host: endpoint.description,
                phase: .connecting,
                outcome: .notSent
            )
        }
        let connection = DatabaseConnection(
            established,
            endpoint: endpoint,
            options: options,
            registration: registration,
            events: events
        )
        relay.connect(to: connection)
        connection.release()
        do throws(DatabaseError) {
            try await connection.useISODates(until: Moment(deadline))
        } catch {
            connection.close()
            throw error
        }
        return connection
    }
}

extension DatabaseError {
    /// Another address of the same name may do better. A refused login would be refused there too, and would count twice
    /// against whatever locks accounts.
    fileprivate var isWorthAnotherAddress: Bool {
        switch code {
        case .cancelled, .authenticationFailed, .invalidParameters: false
        case .server: sqlState == .cannotConnectNow || sqlState?.classCode == "53" || sqlState?.classCode == "08"
        default: true
        }
    }
}

/// Passes on what happens to an idle socket, without keeping the connection alive.
private final class IdleRelay: Sendable {
    private struct Target {
        weak var connection: DatabaseConnection?
    }

    private let target = Guarded(Target())

    func connect(to connection: DatabaseConnection) {
        target.withLock { $0.connection = connection }
    }

    /// On the loop's thread.
    func forward() {
        guard let connection = target.withLock({ $0.connection }) else { return }
        // Whoever is using it will see for himself.
        guard !connection.state.isBusy else { return }
        connection.events?.connectionHasIdleInput(connection)
        connection.keeper.load()?.hasInput(connection)
    }
}

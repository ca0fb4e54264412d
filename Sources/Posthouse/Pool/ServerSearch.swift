// SPDX-License-Identifier: Apache-2.0

import PosthousePostgres
import PosthouseReactor

/// Finds a server for a lone pool's next connection among the hosts of a connection string, as libpq does: in the given order,
/// or shuffled (`load_balance_hosts`), the first one that answers and is what `target_session_attrs` asks for.
struct ServerSearch: Sendable {
    let parameters: ConnectionParameters
    let credentials: DatabaseCredentials.Provider?
    let options: SessionOptions
    let loops: EventLoopGroup

    /// Connects to the first server that will do.
    ///
    /// - Throws: What looking up the credentials throws; ``DatabaseError``: that of the last host, with all of them in
    ///   ``DatabaseError/attempts`` if there are several.
    func connect(until deadline: ContinuousClock.Instant) async throws -> DatabaseConnection {
        var parameters = parameters
        if let credentials { parameters = try parameters.with(await credentials()) }
        let rounds: [TargetSessionAttributes] =
            parameters.targetSessionAttributes == .preferStandby
            ? [.standby, .any] : [parameters.targetSessionAttributes]
        let hosts = parameters.loadBalanceHosts == .random ? parameters.hosts.shuffled() : parameters.hosts
        let candidates = rounds.flatMap { wanted in hosts.map { (wanted: wanted, host: $0) } }
        var attempts: [DatabaseError] = []
        for (index, candidate) in candidates.enumerated() {
            // Each has its share of what is left.
            let now = ContinuousClock.now
            let share = now + max(.zero, deadline - now) / (candidates.count - index)
            do throws(DatabaseError) {
                return try await connect(to: candidate.host, parameters, being: candidate.wanted, until: share)
            } catch {
                attempts.append(error)
                if error.isFinal { break }
            }
        }
        guard var error = attempts.last else {
            throw PoolError.invalid("the connection parameters name no host")
        }
        if attempts.count > 1 { error.attempts = attempts }
        throw error
    }

    private func connect(
        to host: HostEndpoint,
        _ parameters: ConnectionParameters,
        being wanted: TargetSessionAttributes,
        until deadline: ContinuousClock.Instant
    ) async throws(DatabaseError) -> DatabaseConnection {
        let connection = try await DatabaseConnection.connect(
            to: host,
            parameters: parameters,
            options: options,
            loop: loops.next(),
            deadline: deadline
        )
        do throws(DatabaseError) {
            try await check(connection, is: wanted, until: deadline)
        } catch {
            connection.close()
            throw error
        }
        return connection
    }

    private func check(
        _ connection: DatabaseConnection,
        is wanted: TargetSessionAttributes,
        until deadline: ContinuousClock.Instant
    ) async throws(DatabaseError) {
        guard wanted != .any else { return }
        let answer = try await connection.query(
            "SELECT pg_is_in_recovery(), pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool",
            deadline: deadline
        )
        let (isStandby, isReadOnly) = try answer.one().decode((Bool, Bool).self)
        let suits =
            switch wanted {
            case .readWrite: !isReadOnly
            case .readOnly: isReadOnly
            case .primary: !isStandby
            case .standby: isStandby
            default: true
            }
        guard !suits else { return }
        throw DatabaseError(
            code: .unsuitableServer,
            message:
                "\(connection.host) answers, but it is not \(wanted.rawValue), which target_session_attrs asks for.",
            host: connection.host,
            phase: .validating,
            outcome: .notSent
        )
    }
}

extension DatabaseError {
    /// The other hosts are not tried, as with libpq: a refused login would be refused there too, and might lock the account.
    fileprivate var isFinal: Bool {
        switch code {
        case .cancelled, .authenticationFailed, .invalidParameters: true
        case .server: sqlState?.classCode == "28"
        default: false
        }
    }
}

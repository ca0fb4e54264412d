// SPDX-License-Identifier: Apache-2.0

/// A PgBouncer in front of a node of a ``LocalCluster``, on a free loopback port.
///
/// ```swift
/// let bouncer = try await LocalPgBouncer.start(in: cluster, to: cluster.primary, mode: .transaction)
/// // ... connect to bouncer.dsn() ...
/// try await bouncer.kill()
/// try await bouncer.start()
/// ```
///
/// It is the program that is installed, run as the servers are, with its files in the cluster's folder: it ends with the
/// cluster at the latest, and lets anybody in whom it knows.
public final class LocalPgBouncer: Sendable {
    /// For how long a client keeps a server's session.
    public enum Mode: String, Sendable, Hashable {
        /// As long as it is connected.
        case session
        /// For one transaction.
        case transaction
    }

    /// The port on 127.0.0.1, for life.
    public let port: Int
    private let reservation: PortReservation
    private let companion: Companion

    private init(reservation: PortReservation, companion: Companion) {
        self.port = reservation.port
        self.reservation = reservation
        self.companion = companion
    }

    /// Starts one and waits until it serves.
    ///
    /// - Parameters:
    ///   - cluster: Whose folder and user it uses.
    ///   - node: Where it connects to.
    ///   - mode: How it lends sessions.
    ///   - poolSize: The most sessions it has with the node, for each user and database. Default: 20.
    ///   - users: Whom it lets in beside the superuser. Default: nobody.
    /// - Throws: ``LocalClusterError``: `installationNotFound`, `noFreePort`, `fileSystem`, `startFailed`.
    public static func start(
        in cluster: LocalCluster,
        to node: LocalNode,
        mode: Mode,
        poolSize: Int = 20,
        users: [String] = []
    ) async throws(LocalClusterError) -> LocalPgBouncer {
        let reservation = try PortReservation.any()
        let layout = cluster.layout
        let folder = layout.nodeFolder("pgbouncer-\(reservation.port)")
        try Files.makeFolder(folder, for: layout.user)
        try Files.write(
            (["postgres"] + users).map { "\"\($0)\" \"\"\n" }.joined(),
            to: "\(folder)/users.txt",
            for: layout.user
        )
        let settings = """
            [databases]
            * = host=127.0.0.1 port=\(node.port)
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = \(reservation.port)
            unix_socket_dir =
            auth_type = trust
            auth_file = \(folder)/users.txt
            pool_mode = \(mode.rawValue)
            default_pool_size = \(poolSize)
            max_client_conn = 500
            ignore_startup_parameters = extra_float_digits,options
            server_login_retry = 1

            """
        try Files.write(settings, to: "\(folder)/pgbouncer.ini", for: layout.user)
        let bouncer = LocalPgBouncer(
            reservation: reservation,
            companion: Companion(
                "PgBouncer",
                ChildProcess(
                    path: try InstalledProgram.path(of: "pgbouncer"),
                    arguments: ["\(folder)/pgbouncer.ini"],
                    directory: folder,
                    output: "\(folder)/pgbouncer.log",
                    user: layout.user
                )
            )
        )
        try await bouncer.start()
        return bouncer
    }

    /// Starts it again after ``kill()``; does nothing if it runs.
    ///
    /// - Throws: ``LocalClusterError/Code/startFailed``, with its log, if it does not serve within 10 s.
    public func start() async throws(LocalClusterError) {
        try await companion.start(within: .seconds(60)) { deadline in await self.answers(until: deadline) }
    }

    /// Kills it, and waits until it is gone: its clients lose their connections, and so do the servers.
    public func kill() async throws(LocalClusterError) {
        try await companion.kill()
    }

    /// A connection string through it.
    ///
    /// - Parameters:
    ///   - user: The role to log in as. Default: the superuser.
    ///   - database: The database. Default: `postgres`.
    ///   - parameters: More parameters of libpq. Default: none.
    public func dsn(
        user: String = "postgres",
        database: String = "postgres",
        parameters: [String: String] = [:]
    ) -> String {
        ConnectionURI(ports: [port], user: user, database: database, password: nil, parameters: parameters).text
    }

    private func answers(until deadline: ContinuousClock.Instant) async -> Bool {
        let port = port
        let answer = try? await offCooperativePool { () throws(LocalClusterError) in
            try QuerySession.run(
                "SELECT 1",
                at: .port(port),
                database: "postgres",
                node: "pgbouncer",
                deadline: deadline
            )
        }
        return answer != nil
    }
}

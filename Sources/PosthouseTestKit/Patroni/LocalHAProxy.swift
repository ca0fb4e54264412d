// SPDX-License-Identifier: Apache-2.0

/// An HAProxy in front of a ``LocalPatroni``, as Patroni's documentation sets it up: one port leads to the primary and one
/// to the replicas, which it tells apart by Patroni's health checks.
///
/// ```swift
/// let proxy = try await LocalHAProxy.start(in: patroni)
/// // ... connect to proxy.primaryDSN() ...
/// ```
///
/// It is the program that is installed, with its files in the cluster's folder: it ends with the cluster at the latest.
public final class LocalHAProxy: Sendable {
    /// The port on 127.0.0.1 that leads to the primary.
    public let primaryPort: Int
    /// The port on 127.0.0.1 that leads to the replicas in turn.
    public let replicaPort: Int
    private let reservations: [PortReservation]
    private let companion: Companion
    private let servers: Int

    private init(reservations: [PortReservation], companion: Companion, servers: Int) {
        self.primaryPort = reservations[0].port
        self.replicaPort = reservations[1].port
        self.reservations = reservations
        self.companion = companion
        self.servers = servers
    }

    /// Whether the program is installed.
    public static var isInstalled: Bool { InstalledProgram.isInstalled("haproxy") }

    /// Starts one and waits until both its ports serve and lead to the right servers.
    ///
    /// - Throws: ``LocalClusterError``: `installationNotFound`, `noFreePort`, `fileSystem`, `startFailed`.
    public static func start(in patroni: LocalPatroni) async throws(LocalClusterError) -> LocalHAProxy {
        let layout = patroni.servers.layout
        let reservations = [try PortReservation.any(), try PortReservation.any()]
        let folder = layout.nodeFolder("haproxy-\(reservations[0].port)")
        try Files.makeFolder(folder, for: layout.user)
        let settings =
            """
            defaults
                mode tcp
                maxconn 1000
                timeout connect 2s
                timeout client 1h
                timeout server 1h
                timeout check 2s

            """ + listener("primary", reservations[0].port, patroni.members)
            + listener("replica", reservations[1].port, patroni.members)
        try Files.write(settings, to: "\(folder)/haproxy.cfg", for: layout.user)
        let proxy = LocalHAProxy(
            reservations: reservations,
            companion: Companion(
                "HAProxy",
                ChildProcess(
                    path: try InstalledProgram.path(of: "haproxy"),
                    arguments: ["-f", "\(folder)/haproxy.cfg"],
                    directory: folder,
                    output: "\(folder)/haproxy.log",
                    user: layout.user
                )
            ),
            servers: patroni.members.count
        )
        try await proxy.start()
        return proxy
    }

    /// Starts it again after ``kill()``; does nothing if it runs.
    ///
    /// - Throws: ``LocalClusterError/Code/startFailed``, with its log, if its ports do not serve within 20 s.
    public func start() async throws(LocalClusterError) {
        let servers = servers
        let roles = [(primaryPort, "f"), (replicaPort, "t")]
        try await companion.start(within: .seconds(60)) { deadline in
            for (port, role) in roles {
                // It takes all servers for fit until their checks have failed: whoever has its turn must be asked.
                for _ in 0..<servers {
                    let answer = try? await offCooperativePool { () throws(LocalClusterError) in
                        try QuerySession.run(
                            "SELECT pg_is_in_recovery()",
                            at: .port(port),
                            database: "postgres",
                            node: "haproxy",
                            deadline: min(deadline, .now + .seconds(10))
                        )
                    }
                    if answer != [[role]] { return false }
                }
            }
            return true
        }
    }

    /// Kills it, and waits until it is gone: all connections through it break.
    public func kill() async throws(LocalClusterError) {
        try await companion.kill()
    }

    /// A connection string to whoever is the primary.
    public func primaryDSN(user: String = "postgres", database: String = "postgres") -> String {
        ConnectionURI(ports: [primaryPort], user: user, database: database, password: nil, parameters: [:]).text
    }

    /// A connection string to the replicas in turn.
    public func replicaDSN(user: String = "postgres", database: String = "postgres") -> String {
        ConnectionURI(ports: [replicaPort], user: user, database: database, password: nil, parameters: [:]).text
    }

    /// Who is asked more often than in Patroni's example (3 s) loses less time; the ways are the same.
    private static func listener(_ role: String, _ port: Int, _ members: [PatroniMember]) -> String {
        let servers = members.map { member in
            "    server \(member.name) 127.0.0.1:\(member.node.port) check port \(member.restPort)\n"
        }
        return """
            listen \(role)
                bind 127.0.0.1:\(port)
                option httpchk OPTIONS /\(role)
                http-check expect status 200
                default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions

            """ + servers.joined()
    }
}

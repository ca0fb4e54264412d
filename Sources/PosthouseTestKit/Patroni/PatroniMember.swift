// SPDX-License-Identifier: Apache-2.0

/// One member of a ``LocalPatroni``: a Patroni and the PostgreSQL that it runs.
public final class PatroniMember: Sendable {
    /// The PostgreSQL: to be asked, frozen and killed alone. Starting, stopping, promoting and making it follow is
    /// Patroni's work; done here it is what Patroni finds and puts right.
    public let node: LocalNode
    /// The port of Patroni's REST interface on 127.0.0.1, for life.
    public let restPort: Int
    private let reservation: PortReservation
    private let companion: Companion
    private var processes: ProcessFolder {
        ProcessFolder(path: node.layout.nodeFolder(node.name), user: node.layout.user)
    }

    init(_ node: LocalNode, reservation: PortReservation, configuration: String) throws(LocalClusterError) {
        self.node = node
        self.restPort = reservation.port
        self.reservation = reservation
        self.companion = Companion(
            "Patroni of \(node.name)",
            ChildProcess(
                path: try InstalledProgram.path(of: "patroni"),
                arguments: [configuration],
                directory: node.layout.nodeFolder(node.name),
                // PostgreSQL inherits it.
                output: node.logFile,
                user: node.layout.user
            )
        )
    }

    /// `node1`, `node2` ..., for Patroni too.
    public var name: String { node.name }

    /// Where Patroni's REST interface is, for example `http://127.0.0.1:8008`.
    public var restURL: String { "http://127.0.0.1:\(restPort)" }

    /// Starts Patroni, if it does not run, which starts PostgreSQL as what it is to be by now: a former leader is
    /// rewound (`pg_rewind`) and follows. Waits until PostgreSQL accepts sessions.
    ///
    /// - Throws: ``LocalClusterError/Code/startFailed``, with the logs.
    public func start(within limit: Duration = .seconds(180)) async throws(LocalClusterError) {
        try await companion.start(within: limit) { _ async throws(LocalClusterError) in
            await self.answer(to: "/health") == 200
        }
    }

    /// Kills Patroni and PostgreSQL at once (SIGKILL), as a power cut does, and waits until they are gone. If it leads,
    /// the others elect a leader when its lease has run out.
    public func kill() async throws(LocalClusterError) {
        let processes = processes
        try await offCooperativePool { () throws(LocalClusterError) in try processes.kill() }
        companion.reap()
    }

    /// Kills Patroni alone (SIGKILL). PostgreSQL runs on without it, as a primary if it was one: also when the lease has
    /// run out and the others have elected a leader.
    public func killPatroni() async throws(LocalClusterError) {
        try await companion.kill()
    }

    /// Freezes Patroni and PostgreSQL (SIGSTOP), as a virtual machine that is paused. If it leads, the others elect a
    /// leader when its lease has run out.
    ///
    /// - Throws: ``LocalClusterError/Code/notRunning``.
    public func freeze() async throws(LocalClusterError) {
        let processes = processes
        let count = try await offCooperativePool { () throws(LocalClusterError) in try processes.stop() }
        guard count > 0 else { throw node.failure(.notRunning, "Nothing runs: it cannot be frozen.") }
    }

    /// Lets a frozen member go on. Does nothing if it is not frozen.
    public func thaw() async throws(LocalClusterError) {
        let processes = processes
        _ = try await offCooperativePool { () throws(LocalClusterError) in try processes.resume() }
    }

    /// Asks Patroni's REST interface.
    ///
    /// - Parameters:
    ///   - path: For example `/cluster`.
    ///   - method: Default: `GET`.
    ///   - body: As JSON. Default: none.
    ///   - limit: How long connecting and answering may take. Default: 60 s.
    /// - Returns: The status and the body of the answer.
    /// - Throws: ``LocalClusterError/Code/connectionFailed``, ``LocalClusterError/Code/timedOut``.
    public func request(
        _ path: String,
        method: String = "GET",
        body: String = "",
        within limit: Duration = .seconds(60)
    ) async throws(LocalClusterError) -> (status: Int, body: String) {
        let (port, name) = (restPort, name)
        let answer = try await offCooperativePool { () throws(LocalClusterError) in
            try HTTPExchange.run(method, path, body: body, port: port, of: name, deadline: .now + limit)
        }
        return (answer.status, answer.body)
    }

    /// Whether it holds the leader's lease, and takes writes, which comes a moment later.
    func leads() async -> Bool {
        guard await answer(to: "/primary") == 200 else { return false }
        return (try? await node.value(of: "SELECT NOT pg_is_in_recovery()", within: .seconds(10))) == "t"
    }

    /// The status of a health check of Patroni (`/primary`, `/replica`, `/health`); nil without an answer.
    func answer(to check: String) async -> Int? {
        (try? await request(check, within: .seconds(10)))?.status
    }
}

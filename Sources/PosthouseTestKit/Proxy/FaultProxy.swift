// SPDX-License-Identifier: Apache-2.0

/// A TCP proxy in front of a server, which does to connections what networks do.
///
/// ```swift
/// let proxy = try FaultProxy(to: cluster.primary)
/// // ... connect to proxy.port ...
/// try await proxy.apply(.blackHole())    // the server falls silent, its sockets stay open
/// try await proxy.heal()                 // the bytes that were held up go on
/// try await proxy.apply(.reset, to: .existing)
/// ```
///
/// A fault is in force when ``apply(_:to:)`` returns. The proxy runs on a thread of its own, so that it works while the
/// tasks of the process are starved. It ends with ``close()`` or when it is let go of.
public final class FaultProxy: Sendable {
    /// The port to connect to, on 127.0.0.1. It is reserved for the proxy's life, also while it refuses connections.
    public let port: Int
    private let mailbox: ProxyMailbox
    private let reservation: PortReservation

    /// A proxy in front of whatever listens on a loopback port, or will.
    ///
    /// - Throws: ``LocalClusterError/Code/noFreePort``.
    public init(target: Int) throws(LocalClusterError) {
        self.reservation = try PortReservation.any()
        self.port = self.reservation.port
        self.mailbox = try ProxyMailbox()
        let loop = try ProxyLoop(port: self.port, target: target, mailbox: self.mailbox)
        loop.start()
    }

    /// A proxy in front of a node.
    ///
    /// - Throws: ``LocalClusterError/Code/noFreePort``.
    public convenience init(to node: LocalNode) throws(LocalClusterError) {
        try self.init(target: node.port)
    }

    deinit {
        self.mailbox.post(.close, then: nil)
    }

    /// A way in which a network fails.
    public struct Fault: Sendable, Hashable, CustomStringConvertible {
        enum Value: Hashable {
            case none
            case delay(Duration)
            case blackHole(Direction)
            case unreachable
            case cut
            case reset
            case refuse
            case garbage([UInt8])
        }
        var value: Value

        /// All is well.
        public static let none = Fault(value: .none)
        /// Every byte, in both directions, arrives so much later.
        public static func delay(_ time: Duration) -> Fault { Fault(value: .delay(time)) }
        /// Silence: bytes are held up and sockets stay open, as when a cable is pulled or a server is frozen. A new
        /// connection is accepted and gets no answer. With a direction, only the bytes of that direction are held up:
        /// `.toClient` lets a statement reach the server and keeps the answer from the client.
        public static func blackHole(_ direction: Direction = .both) -> Fault { Fault(value: .blackHole(direction)) }
        /// Silence, and new connections are not even accepted: they stay in the midst of connecting, as when a host is
        /// gone or a firewall drops packets.
        public static let unreachable = Fault(value: .unreachable)
        /// Connections end in order (FIN), in the midst of whatever they do; a new one at once.
        public static let cut = Fault(value: .cut)
        /// Connections are reset (RST); a new one at once.
        public static let reset = Fault(value: .reset)
        /// New connections are refused, as by a host where nobody listens; existing ones are reset.
        public static let refuse = Fault(value: .refuse)
        /// The client gets bytes that are not the protocol: an existing connection at once, a new one when it has sent
        /// something. What the client sends reaches nobody. Such a connection is lost; healing cuts it.
        public static func garbage(_ bytes: [UInt8] = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)) -> Fault {
            Fault(value: .garbage(bytes))
        }

        /// The fault's name.
        public var description: String {
            switch self.value {
            case .none: "none"
            case .delay(let time): "delay of \(time)"
            case .blackHole(let direction): "black hole, \(direction)"
            case .unreachable: "unreachable"
            case .cut: "cut"
            case .reset: "reset"
            case .refuse: "refuse"
            case .garbage(let bytes): "garbage (\(bytes.count) bytes)"
            }
        }
    }

    /// Which bytes a black hole swallows.
    public enum Direction: Sendable, Hashable {
        /// Both ways.
        case both
        /// What the client sends.
        case toServer
        /// What the server answers.
        case toClient
    }

    /// Which connections a fault befalls.
    public enum Scope: Sendable, Hashable {
        /// Those that are open now, and new ones until another fault is applied.
        case all
        /// Those that are open now.
        case existing
        /// Those that come from now on, until another fault is applied.
        case new
    }

    /// What went through the proxy since it began.
    public struct Statistics: Sendable, Hashable {
        /// Connections that were accepted, whatever became of them.
        public var accepted = 0
        /// Connections that are open now.
        public var open = 0
        /// Connections for which the target could not be reached; their clients were reset.
        public var targetFailures = 0
        /// Bytes that were passed on to servers.
        public var bytesToServer = 0
        /// Bytes that were passed on to clients, garbage included.
        public var bytesToClient = 0
    }

    /// Makes a fault befall connections; it is in force when this returns.
    ///
    /// - Throws: ``LocalClusterError/Code/noFreePort`` if the proxy cannot listen again;
    ///   ``LocalClusterError/Code/notRunning`` after ``close()``.
    public func apply(_ fault: Fault, to scope: Scope = .all) async throws(LocalClusterError) {
        try await self.perform(.apply(fault, scope))
    }

    /// All is well again, for all connections that still exist and new ones; what was held up goes on.
    public func heal() async throws(LocalClusterError) {
        try await self.apply(.none)
    }

    /// New connections go to another port, as behind a virtual address that moves. Existing ones stay where they are;
    /// `apply(.reset, to: .existing)` ends them.
    public func retarget(to port: Int) async throws(LocalClusterError) {
        try await self.perform(.retarget(port))
    }

    /// New connections go to another node; see ``retarget(to:)-(Int)``.
    public func retarget(to node: LocalNode) async throws(LocalClusterError) {
        try await self.retarget(to: node.port)
    }

    /// What went through the proxy until now.
    public var statistics: Statistics { self.mailbox.statistics }

    /// Waits until so many connections are open, for tests that need them to have arrived or gone.
    ///
    /// - Throws: ``LocalClusterError/Code/timedOut``.
    public func waitUntilOpen(_ count: Int, within limit: Duration = .seconds(120)) async throws(LocalClusterError) {
        let reached = try await waitUntil(.now + limit, every: .milliseconds(2)) { () throws(LocalClusterError) in
            self.statistics.open == count
        }
        guard reached else {
            throw LocalClusterError(
                .timedOut,
                "\(self.statistics.open) connections are open after \(limit.inSeconds), not \(count)."
            )
        }
    }

    /// Ends the proxy: resets all connections, gives back every file descriptor. Doing it again does nothing.
    public func close() async {
        try? await self.perform(.close)
    }

    /// A connection string through the proxy.
    ///
    /// - Parameters:
    ///   - user: The role to log in as. Default: the superuser.
    ///   - database: The database. Default: `postgres`.
    ///   - password: The password, if one is asked for. Default: none.
    ///   - parameters: More parameters of libpq. Default: none.
    public func dsn(
        user: String = "postgres",
        database: String = "postgres",
        password: String? = nil,
        parameters: [String: String] = [:]
    ) -> String {
        ConnectionURI(
            ports: [self.port],
            user: user,
            database: database,
            password: password,
            parameters: parameters
        ).text
    }

    private func perform(_ order: ProxyMailbox.Order) async throws(LocalClusterError) {
        let failure: LocalClusterError? = await withCheckedContinuation { continuation in
            self.mailbox.post(order) { continuation.resume(returning: $0) }
        }
        if let failure { throw failure }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// One server of a ``LocalCluster``: to be stopped, killed, frozen, promoted, and asked.
///
/// Every operation has a deadline, and throws a ``LocalClusterError`` with the end of the server's log when it passes.
/// Operations on different nodes may run at once; those on one node are to be done one after the other.
public final class LocalNode: Sendable {
    /// Whether a node takes writes or follows another node.
    public enum Role: String, Sendable, Hashable {
        /// It takes writes, or would if it ran. Two nodes can be primaries at once: that is what split brain means.
        case primary
        /// It replays what another node writes.
        case replica
    }

    /// Whether a node runs.
    public enum State: String, Sendable, Hashable {
        /// It accepts sessions.
        case up
        /// None of its processes exists.
        case down
        /// It recovers, or has not come as far as accepting sessions.
        case starting
        /// It was told to stop and is not yet down.
        case stopping
        /// It is frozen: its sockets are open and nobody reads them.
        case paused
    }

    /// What a node is doing at a moment.
    public struct Status: Sendable, Hashable {
        /// Its role, also that of a node that is down.
        public var role: Role
        /// Whether it runs.
        public var state: State
        /// The process id of its postmaster; nil if it is down.
        public var pid: Int32?
    }

    /// `node1`, `node2` ...; also its `application_name` as a replica (for `synchronous_standby_names`) and its
    /// `cluster_name`. The node that starts as the primary is `node1`.
    public let name: String
    /// Its TCP port on 127.0.0.1, for life.
    public let port: Int
    /// The data directory, for tests that look at its files.
    public let dataDirectory: String
    /// The server's log.
    public let logFile: String
    /// The folder of its Unix-domain socket; nil if the cluster's path is too long for one.
    public let socketDirectory: String?

    let layout: ClusterLayout
    /// Nil in a cluster that outlives the process which made it.
    let reservation: PortReservation?
    let server = ServerProcess()

    init(name: String, port: Int, reservation: PortReservation?, layout: ClusterLayout) {
        self.name = name
        self.port = port
        self.reservation = reservation
        self.layout = layout
        self.dataDirectory = "\(layout.nodeFolder(name))/data"
        self.logFile = "\(layout.nodeFolder(name))/server.log"
        self.socketDirectory = layout.socketDirectory
    }

    var processes: ProcessFolder { ProcessFolder(path: self.dataDirectory, user: self.layout.user) }

    /// A connection string for this node alone.
    ///
    /// - Parameters:
    ///   - user: The role to log in as. Default: the superuser.
    ///   - database: The database. Default: `postgres`.
    ///   - password: The password, if one is asked for. Default: none.
    ///   - parameters: More parameters of libpq, for example `["sslmode": "require"]`. Default: none.
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

    /// The last lines of the server's log.
    public func logTail(lines: Int = 40) -> String {
        Files.tail(of: self.logFile, lines: lines)
    }

    /// The role that the node has, or had when it was last up: from its files, without asking the server.
    public var role: Role {
        Files.exists("\(self.dataDirectory)/standby.signal") ? .replica : .primary
    }

    /// What the node is doing, from its processes and files, without asking the server.
    public func status() async throws(LocalClusterError) -> Status {
        let found = try await self.pids()
        guard !found.isEmpty else { return Status(role: self.role, state: .down, pid: nil) }
        let file = PostmasterFile(dataDirectory: self.dataDirectory)
        let postmaster = file.flatMap { found.contains($0.pid) ? $0.pid : nil }
        let state: State
        if let postmaster, ProcessFolder.state(of: postmaster) == "T" {
            state = .paused
        } else {
            switch file?.phase {
            case "ready", "standby": state = postmaster == nil ? .stopping : .up
            case "stopping": state = .stopping
            default: state = .starting
            }
        }
        return Status(role: self.role, state: state, pid: postmaster ?? found.first)
    }

    /// The process ids of the node, the postmaster and all its children; empty if it is down.
    public func pids() async throws(LocalClusterError) -> [Int32] {
        try await offCooperativePool { [processes] () throws(LocalClusterError) in try processes.list() }
    }

    /// 12 or higher.
    var majorVersion: Int {
        let text = Files.text(of: "\(self.dataDirectory)/PG_VERSION") ?? ""
        return Int(text.prefix { $0.isNumber }) ?? 0
    }

    func failure(_ code: LocalClusterError.Code, _ message: String) -> LocalClusterError {
        LocalClusterError(code, message, node: self.name, log: self.logTail())
    }
}

/// What a postmaster says about itself in its data directory.
struct PostmasterFile {
    var pid: Int32
    /// `starting`, `ready`, `standby`, `stopping`; empty before it says so.
    var phase: String

    init?(dataDirectory: String) {
        guard let text = Files.text(of: "\(dataDirectory)/postmaster.pid") else { return nil }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let first = lines.first, let pid = Int32(first) else { return nil }
        self.pid = pid
        self.phase = lines.count > 7 ? String(lines[7].prefix { $0 != " " }) : ""
    }
}

/// A connection string with one or more hosts on the loopback address.
struct ConnectionURI {
    var ports: [Int]
    var user: String
    var database: String
    var password: String?
    var parameters: [String: String]

    var text: String {
        var text = "postgresql://" + Self.escaped(self.user)
        if let password { text += ":" + Self.escaped(password) }
        text += "@" + self.ports.map { "127.0.0.1:\($0)" }.joined(separator: ",")
        text += "/" + Self.escaped(self.database)
        let pairs = self.parameters.sorted { $0.key < $1.key }
            .map { "\(Self.escaped($0.key))=\(Self.escaped($0.value))" }
        return pairs.isEmpty ? text : text + "?" + pairs.joined(separator: "&")
    }

    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "~"):
                escaped.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let hexadecimal = String(byte, radix: 16, uppercase: true)
                escaped += "%" + (hexadecimal.count == 1 ? "0" : "") + hexadecimal
            }
        }
        return escaped
    }
}

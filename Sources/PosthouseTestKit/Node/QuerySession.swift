// SPDX-License-Identifier: Apache-2.0

/// One statement over a session of its own, with the simple query protocol and a deadline. Blocks.
///
/// The kit looks at servers with its own eyes: were it to use the driver that it helps to test, a fault of the driver
/// would hide itself. It can log in where the server trusts it, which the kit's own `pg_hba.conf` arranges.
struct QuerySession: ~Copyable {
    private let socket: DeadlineSocket
    private let node: String
    private var received: [UInt8] = []
    private var position = 0

    static func run(
        _ sql: String,
        at endpoint: DeadlineSocket.Endpoint,
        database: String,
        node: String,
        deadline: ContinuousClock.Instant
    ) throws(LocalClusterError) -> [[String?]] {
        var session = QuerySession(
            socket: try DeadlineSocket.connect(to: endpoint, of: node, deadline: deadline),
            node: node
        )
        try session.logIn(database: database)
        return try session.query(sql)
    }

    private init(socket: consuming DeadlineSocket, node: String) {
        self.socket = socket
        self.node = node
    }

    // MARK: - The protocol

    private mutating func logIn(database: String) throws(LocalClusterError) {
        var startup: [UInt8] = Self.bytes(of: 196608)
        for word in ["user", "postgres", "database", database, "application_name", "posthouse-testkit"] {
            startup += Array(word.utf8) + [0]
        }
        startup.append(0)
        try self.socket.send(Self.bytes(of: Int32(startup.count + 4)) + startup)
        while true {
            let (kind, body) = try self.message()
            switch kind {
            case UInt8(ascii: "Z"): return
            case UInt8(ascii: "E"): throw self.refusal(body, .connectionFailed)
            case UInt8(ascii: "R") where body.prefix(4) != [0, 0, 0, 0]:
                throw LocalClusterError(
                    .connectionFailed,
                    "The server asks for a password; the kit logs in only where it is trusted.",
                    node: self.node
                )
            default: continue
            }
        }
    }

    private mutating func query(_ sql: String) throws(LocalClusterError) -> [[String?]] {
        let body = Array(sql.utf8) + [0]
        try self.socket.send([UInt8(ascii: "Q")] + Self.bytes(of: Int32(body.count + 4)) + body)
        var rows: [[String?]] = []
        var refusal: LocalClusterError?
        while true {
            let (kind, body) = try self.message()
            switch kind {
            case UInt8(ascii: "D"): rows.append(Self.fields(of: body))
            case UInt8(ascii: "E"):
                let error = self.refusal(body, .queryFailed)
                // A server that ends the session says why and closes: nothing else will come.
                if error.sqlState?.hasPrefix("57P") == true { throw error }
                refusal = refusal ?? error
            case UInt8(ascii: "Z"):
                if let refusal { throw refusal }
                try self.socket.send([UInt8(ascii: "X"), 0, 0, 0, 4])
                return rows
            default: continue
            }
        }
    }

    private static func fields(of body: ArraySlice<UInt8>) -> [String?] {
        var rest = body.dropFirst(2)
        var fields: [String?] = []
        while rest.count >= 4 {
            let length = Int(Self.integer(rest.prefix(4)))
            rest = rest.dropFirst(4)
            guard length >= 0 else {
                fields.append(nil)
                continue
            }
            fields.append(String(decoding: rest.prefix(length), as: UTF8.self))
            rest = rest.dropFirst(length)
        }
        return fields
    }

    private func refusal(_ body: ArraySlice<UInt8>, _ code: LocalClusterError.Code) -> LocalClusterError {
        var error = LocalClusterError(code, "The server refused.", node: self.node)
        for field in body.split(separator: 0) {
            let text = String(decoding: field.dropFirst(), as: UTF8.self)
            if field.first == UInt8(ascii: "C") { error.sqlState = text }
            if field.first == UInt8(ascii: "M") { error.message = text }
        }
        return error
    }

    // MARK: - Bytes

    private static func bytes(of number: Int32) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    private static func integer(_ bytes: ArraySlice<UInt8>) -> Int32 {
        bytes.reduce(0) { $0 << 8 | Int32($1) }
    }

    private mutating func message() throws(LocalClusterError) -> (kind: UInt8, body: ArraySlice<UInt8>) {
        try self.receive(5)
        let kind = self.received[self.position]
        let length = Int(Self.integer(self.received[self.position + 1..<self.position + 5]))
        guard (4...0x3fff_ffff).contains(length) else {
            throw LocalClusterError(.connectionFailed, "The server does not speak the protocol.", node: self.node)
        }
        try self.receive(1 + length)
        let body = self.received[self.position + 5..<self.position + 1 + length]
        self.position += 1 + length
        return (kind, body)
    }

    /// Until that many unread bytes are here.
    private mutating func receive(_ count: Int) throws(LocalClusterError) {
        while self.received.count - self.position < count {
            if self.position > 65536 {
                self.received.removeFirst(self.position)
                self.position = 0
            }
            guard try self.socket.receive(into: &self.received) > 0 else {
                throw LocalClusterError(
                    .connectionFailed,
                    "The server did not answer: it closed the session.",
                    node: self.node
                )
            }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// One statement over a session of its own, with the simple query protocol and a deadline. Blocks.
///
/// The kit looks at servers with its own eyes: were it to use the driver that it helps to test, a fault of the driver
/// would hide itself. It can log in where the server trusts it, which the kit's own `pg_hba.conf` arranges.
struct QuerySession: ~Copyable {
    private let descriptor: Int32
    private let deadline: ContinuousClock.Instant
    private let node: String
    private var received: [UInt8] = []
    private var position = 0

    static func run(
        _ sql: String,
        at endpoint: Endpoint,
        database: String,
        node: String,
        deadline: ContinuousClock.Instant
    ) throws(LocalClusterError) -> [[String?]] {
        let descriptor = try self.connect(to: endpoint, node: node, deadline: deadline)
        var session = QuerySession(descriptor: descriptor, node: node, deadline: deadline)
        try session.logIn(database: database)
        return try session.query(sql)
    }

    enum Endpoint: Sendable {
        case socket(String)
        case port(Int)
    }

    private init(descriptor: Int32, node: String, deadline: ContinuousClock.Instant) {
        self.descriptor = descriptor
        self.node = node
        self.deadline = deadline
    }

    private static func connect(
        to endpoint: Endpoint,
        node: String,
        deadline: ContinuousClock.Instant
    ) throws(LocalClusterError) -> Int32 {
        while true {
            let result =
                switch endpoint {
                case .socket(let path): testkit_connect_local(path)
                case .port(let port): testkit_connect(UInt16(port))
                }
            if result >= 0 { return result }
            // The full backlog of a Unix-domain socket; a TCP connect would wait by itself.
            guard result == -EAGAIN, ContinuousClock.now < deadline else {
                throw LocalClusterError(.connectionFailed, "Could not connect: \(systemMessage(result)).", node: node)
            }
            usleep(2000)
        }
    }

    deinit {
        close(self.descriptor)
    }

    // MARK: - The protocol

    private mutating func logIn(database: String) throws(LocalClusterError) {
        try self.wait(for: POLLOUT, "accept the connection")
        let failure = testkit_socket_error(self.descriptor)
        guard failure == 0 else {
            throw LocalClusterError(.connectionFailed, "Could not connect: \(systemMessage(failure)).", node: self.node)
        }
        var startup: [UInt8] = Self.bytes(of: 196608)
        for word in ["user", "postgres", "database", database, "application_name", "posthouse-testkit"] {
            startup += Array(word.utf8) + [0]
        }
        startup.append(0)
        try self.send(Self.bytes(of: Int32(startup.count + 4)) + startup)
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
        try self.send([UInt8(ascii: "Q")] + Self.bytes(of: Int32(body.count + 4)) + body)
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
                try self.send([UInt8(ascii: "X"), 0, 0, 0, 4])
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
            var buffer = [UInt8](repeating: 0, count: 16384)
            let got = buffer.withUnsafeMutableBytes { read(self.descriptor, $0.baseAddress, $0.count) }
            if got > 0 {
                self.received.append(contentsOf: buffer[0..<got])
            } else if got < 0 && (errno == EAGAIN || errno == EINTR) {
                try self.wait(for: POLLIN, "answer")
            } else {
                let reason = got == 0 ? "it closed the session" : systemMessage(errno)
                throw LocalClusterError(.connectionFailed, "The server did not answer: \(reason).", node: self.node)
            }
        }
    }

    private func send(_ bytes: [UInt8]) throws(LocalClusterError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes {
                testkit_send(self.descriptor, $0.baseAddress, $0.count)
            }
            if sent >= 0 {
                rest = rest.dropFirst(sent)
            } else if errno == EAGAIN || errno == EINTR {
                try self.wait(for: POLLOUT, "take the statement")
            } else {
                throw LocalClusterError(
                    .connectionFailed,
                    "The session broke: \(systemMessage(errno)).",
                    node: self.node
                )
            }
        }
    }

    private func wait(for events: Int32, _ verb: String) throws(LocalClusterError) {
        while true {
            var item = pollfd(fd: self.descriptor, events: Int16(events), revents: 0)
            let left = ContinuousClock.now.duration(to: self.deadline)
            let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1
            let ready = left > .zero ? poll(&item, 1, Int32(clamping: milliseconds)) : 0
            if ready > 0 { return }
            if ready < 0 && errno == EINTR { continue }
            throw LocalClusterError(.timedOut, "The server did not \(verb) in time.", node: self.node)
        }
    }
}

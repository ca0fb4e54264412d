// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// A connection to a program on this machine, on which everything has one deadline. Blocks.
struct DeadlineSocket: ~Copyable {
    enum Endpoint: Sendable {
        case socket(String)
        case port(Int)
    }

    private let descriptor: Int32
    private let deadline: ContinuousClock.Instant
    /// Whom errors speak of.
    private let node: String

    static func connect(
        to endpoint: Endpoint,
        of node: String,
        deadline: ContinuousClock.Instant
    ) throws(LocalClusterError) -> DeadlineSocket {
        let descriptor = try self.open(endpoint, node: node, deadline: deadline)
        let socket = DeadlineSocket(descriptor: descriptor, deadline: deadline, node: node)
        try socket.wait(for: POLLOUT, "accept the connection")
        let failure = testkit_socket_error(descriptor)
        guard failure == 0 else {
            throw LocalClusterError(.connectionFailed, "Could not connect: \(systemMessage(failure)).", node: node)
        }
        return socket
    }

    private init(descriptor: Int32, deadline: ContinuousClock.Instant, node: String) {
        self.descriptor = descriptor
        self.deadline = deadline
        self.node = node
    }

    private static func open(
        _ endpoint: Endpoint,
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

    /// Appends what is there, once something is.
    ///
    /// - Returns: How many bytes came; 0 when the other end has closed.
    func receive(into received: inout [UInt8]) throws(LocalClusterError) -> Int {
        while true {
            var buffer = [UInt8](repeating: 0, count: 16384)
            let got = buffer.withUnsafeMutableBytes { read(self.descriptor, $0.baseAddress, $0.count) }
            if got >= 0 {
                received.append(contentsOf: buffer[0..<got])
                return got
            }
            guard errno == EAGAIN || errno == EINTR else {
                throw LocalClusterError(
                    .connectionFailed,
                    "The server did not answer: \(systemMessage(errno)).",
                    node: self.node
                )
            }
            try self.wait(for: POLLIN, "answer")
        }
    }

    func send(_ bytes: [UInt8]) throws(LocalClusterError) {
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

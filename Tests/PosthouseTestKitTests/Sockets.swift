// SPDX-License-Identifier: Apache-2.0

import CTestKit
import Glibc
import Synchronization
import Testing

@testable import PosthouseTestKit

/// A server that sends back what it gets, on a thread of its own.
final class EchoServer: Sendable {
    let port: Int
    private let reservation: PortReservation
    private let mailbox: ProxyMailbox
    private let received = Mutex(0)

    init() throws {
        self.reservation = try PortReservation.any()
        self.port = self.reservation.port
        self.mailbox = try ProxyMailbox()
        let listener = testkit_listen(UInt16(self.port), 128)
        try #require(listener >= 0)
        startThread { [mailbox, weak self] in
            Self.run(listener, mailbox) { count in self?.received.withLock { $0 += count } }
        }
    }

    deinit { self.mailbox.post(.close, then: nil) }

    /// How many bytes arrived here.
    var bytes: Int { self.received.withLock { $0 } }

    /// Blocks while the client does not read.
    private static func send(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) {
        var rest = bytes
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { testkit_send(descriptor, $0.baseAddress, $0.count) }
            if sent >= 0 {
                rest = rest.dropFirst(sent)
            } else if errno == EAGAIN {
                var item = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&item, 1, 1000)
            } else {
                return
            }
        }
    }

    private static func run(_ listener: Int32, _ mailbox: ProxyMailbox, _ count: (Int) -> Void) {
        var clients: [Int32] = []
        defer { for descriptor in clients + [listener] { close(descriptor) } }
        while true {
            var items = ([mailbox.bell, listener] + clients).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&items, nfds_t(items.count), -1) >= 0 else { continue }
            if items[0].revents != 0 { return }
            for item in items[2...] where item.revents != 0 {
                var buffer = [UInt8](repeating: 0, count: 65536)
                let got = read(item.fd, &buffer, buffer.count)
                if got > 0 {
                    count(got)
                    Self.send(buffer[0..<got], to: item.fd)
                } else {
                    close(item.fd)
                    clients.removeAll { $0 == item.fd }
                }
            }
            if items[1].revents != 0, case let client = testkit_accept(listener), client >= 0 { clients.append(client) }
        }
    }
}

/// A client that tells how a connection ended.
final class Client: Sendable {
    enum Event: Equatable {
        case bytes(String)
        case end
        case failure(Int32)
        case silence
    }

    private let descriptor: Int32

    init(port: Int) throws {
        self.descriptor = testkit_connect(UInt16(port))
        try #require(self.descriptor >= 0)
    }

    deinit { close(self.descriptor) }

    /// Nil if it is connected; ETIMEDOUT if nothing happens within the time.
    func connected(within limit: Duration = .seconds(60)) async -> Int32? {
        let ready = await self.wait(for: POLLOUT, limit)
        guard ready else { return ETIMEDOUT }
        let failure = testkit_socket_error(self.descriptor)
        return failure == 0 ? nil : failure
    }

    /// How much of it the socket took.
    @discardableResult
    func send(_ bytes: ArraySlice<UInt8>) -> Int {
        max(0, bytes.withUnsafeBytes { testkit_send(self.descriptor, $0.baseAddress, $0.count) })
    }

    func send(_ text: String) {
        self.send(Array(text.utf8)[...])
    }

    /// No more will be sent; the answers can still come.
    func endSending() {
        shutdown(self.descriptor, Int32(SHUT_WR))
    }

    func next(within limit: Duration = .seconds(60)) async -> Event {
        guard await self.wait(for: POLLIN, limit) else { return .silence }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let got = read(self.descriptor, &buffer, buffer.count)
        if got > 0 { return .bytes(String(decoding: buffer[0..<got], as: UTF8.self)) }
        return got == 0 ? .end : .failure(errno)
    }

    /// Sends and returns what comes next.
    func ask(_ text: String, within limit: Duration = .seconds(60)) async -> Event {
        self.send(text)
        return await self.next(within: limit)
    }

    private func wait(for events: Int32, _ limit: Duration) async -> Bool {
        let descriptor = self.descriptor
        let answer = try? await waitUntil(.now + limit, every: .milliseconds(1)) { () throws(LocalClusterError) in
            var item = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            return poll(&item, 1, 0) > 0
        }
        return answer == true
    }
}

/// The sockets of this process that a proxy on `port` in front of `target` would own.
func descriptors(ofProxyOn port: Int, target: Int) -> Int {
    (0..<4096).count { number in
        let descriptor = Int32(number)
        return boundPort(of: descriptor, getsockname) == port || boundPort(of: descriptor, getpeername) == target
    }
}

private func boundPort(
    of descriptor: Int32,
    _ name: (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
) -> Int? {
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { name(descriptor, $0, &size) }
    }
    guard result == 0, address.sin_family == sa_family_t(AF_INET) else { return nil }
    return Int(UInt16(bigEndian: address.sin_port))
}

// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// A client of a proxy and its server. Belongs to the proxy's thread.
final class ProxyConnection {
    private enum Phase {
        /// No server yet: black holes and garbage need none.
        case alone
        case connecting
        case joined
        /// Our side of both sockets is shut; what the peers still send is dropped until they close too.
        case cut
        case ended
    }

    private var phase = Phase.alone
    private var client: Int32
    private var server: Int32 = -1
    private let target: Int
    private var fault = FaultProxy.Fault.none
    private var toServer = ProxyStream()
    private var toClient = ProxyStream()
    private let mailbox: ProxyMailbox

    init(client: Int32, target: Int, fault: FaultProxy.Fault, mailbox: ProxyMailbox) {
        self.client = client
        self.target = target
        self.mailbox = mailbox
        switch fault.value {
        case .blackHole(.both), .unreachable, .garbage: self.fault = fault
        case .none, .delay, .blackHole, .cut, .reset, .refuse: self.apply(fault, now: .now)
        }
    }

    var ended: Bool {
        if case .ended = self.phase { true } else { false }
    }

    /// When there is something to do without an event. What is due already waits for its socket, not for the time.
    func nextDue(after now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        guard case .joined = self.phase else { return nil }
        let dues = [
            self.passes(.toServer) ? self.toServer.nextDue : nil, self.passes(.toClient) ? self.toClient.nextDue : nil,
        ]
        return dues.compactMap { $0 }.filter { $0 > now }.min()
    }

    private func passes(_ direction: FaultProxy.Direction) -> Bool {
        switch self.fault.value {
        case .blackHole(let held): held != .both && held != direction
        case .unreachable, .garbage: false
        case .none, .delay, .cut, .reset, .refuse: true
        }
    }

    private var delay: Duration {
        if case .delay(let time) = self.fault.value { time } else { .zero }
    }

    // MARK: - Faults

    func apply(_ fault: FaultProxy.Fault, now: ContinuousClock.Instant) {
        switch self.phase {
        case .cut:
            // Already beyond help, but a reset still shows.
            if fault == .reset || fault == .refuse { self.reset() }
            return
        case .ended: return
        case .alone, .connecting, .joined: break
        }
        let isLost = if case .garbage = self.fault.value { true } else { false }
        self.fault = fault
        switch fault.value {
        case .cut: self.cut()
        case .reset, .refuse: self.reset()
        case .garbage(let bytes): self.sendGarbage(bytes)
        case .unreachable, .blackHole(.both): break
        case .none, .delay, .blackHole:
            if isLost {
                self.cut()
            } else if case .alone = self.phase {
                self.connect()
            } else if fault == .none {
                self.toServer.hurry(now)
                self.toClient.hurry(now)
            }
        }
    }

    private func connect() {
        let result = testkit_connect(UInt16(clamping: self.target))
        guard result >= 0 else { return self.targetFailed() }
        self.server = result
        self.phase = .connecting
    }

    private func targetFailed() {
        self.mailbox.update { $0.targetFailures += 1 }
        self.reset()
    }

    private func sendGarbage(_ bytes: [UInt8]) {
        let sent = bytes.withUnsafeBytes { testkit_send(self.client, $0.baseAddress, $0.count) }
        if sent > 0 { self.mailbox.update { $0.bytesToClient += sent } }
    }

    private func cut() {
        self.phase = .cut
        for socket in [self.client, self.server] where socket >= 0 { shutdown(socket, Int32(SHUT_WR)) }
    }

    /// Ends both sides with RST.
    func reset() {
        for socket in [self.client, self.server] where socket >= 0 { testkit_reset(socket) }
        self.client = -1
        self.server = -1
        self.phase = .ended
    }

    // MARK: - Events

    /// Always two entries: the client's and the server's.
    func appendInterests(to items: inout [pollfd], now: ContinuousClock.Instant) {
        var clientEvents: Int32 = 0
        var serverEvents: Int32 = 0
        switch self.phase {
        case .alone:
            if case .garbage = self.fault.value { clientEvents = POLLIN }
        case .connecting: serverEvents = POLLOUT
        case .joined:
            if case .garbage = self.fault.value { clientEvents = POLLIN }
            if self.passes(.toServer) {
                if self.toServer.wantsToRead { clientEvents |= POLLIN }
                if self.toServer.isDue(now) { serverEvents |= POLLOUT }
            }
            if self.passes(.toClient) {
                if self.toClient.wantsToRead { serverEvents |= POLLIN }
                if self.toClient.isDue(now) { clientEvents |= POLLOUT }
            }
        case .cut:
            clientEvents = POLLIN
            serverEvents = POLLIN
        case .ended: break
        }
        items.append(pollfd(fd: clientEvents == 0 ? -1 : self.client, events: Int16(clientEvents), revents: 0))
        items.append(pollfd(fd: serverEvents == 0 ? -1 : self.server, events: Int16(serverEvents), revents: 0))
    }

    func advance(client clientEvents: Int16, server serverEvents: Int16, now: ContinuousClock.Instant) {
        switch self.phase {
        case .alone: if clientEvents != 0 { self.answerGarbage() }
        case .connecting:
            guard serverEvents != 0 else { return }
            if testkit_socket_error(self.server) == 0 { self.phase = .joined } else { self.targetFailed() }
        case .joined:
            if case .garbage = self.fault.value {
                if clientEvents != 0 { self.answerGarbage() }
            } else {
                self.forward(clientEvents, serverEvents, now)
            }
        case .cut:
            if clientEvents != 0 { self.drop(&self.client) }
            if serverEvents != 0 { self.drop(&self.server) }
            if self.client < 0 && self.server < 0 { self.phase = .ended }
        case .ended: break
        }
    }

    private func forward(_ clientEvents: Int16, _ serverEvents: Int16, _ now: ContinuousClock.Instant) {
        var alive = true
        var written = (toServer: 0, toClient: 0)
        if self.passes(.toServer) {
            if clientEvents != 0 { alive = self.toServer.read(from: self.client, due: now + self.delay) && alive }
            alive = self.toServer.write(to: self.server, now: now, count: &written.toServer) && alive
        }
        if self.passes(.toClient) {
            if serverEvents != 0 { alive = self.toClient.read(from: self.server, due: now + self.delay) && alive }
            alive = self.toClient.write(to: self.client, now: now, count: &written.toClient) && alive
        }
        if written != (0, 0) {
            self.mailbox.update {
                $0.bytesToServer += written.toServer
                $0.bytesToClient += written.toClient
            }
        }
        if !alive {
            self.reset()
        } else if self.toServer.finished && self.toClient.finished {
            close(self.client)
            close(self.server)
            self.client = -1
            self.server = -1
            self.phase = .ended
        }
    }

    private func answerGarbage() {
        guard case .garbage(let bytes) = self.fault.value else { return }
        switch ProxyStream.drop(from: self.client) {
        case .dropped: self.sendGarbage(bytes)
        case .nothing: break
        case .ended: self.reset()
        }
    }

    private func drop(_ socket: inout Int32) {
        guard socket >= 0, case .ended = ProxyStream.drop(from: socket) else { return }
        close(socket)
        socket = -1
    }
}

/// The bytes under way in one direction.
struct ProxyStream {
    private var pieces: [(due: ContinuousClock.Instant, bytes: ArraySlice<UInt8>)] = []
    private var count = 0
    private var sourceEnded: ContinuousClock.Instant?
    /// The end of the source has been passed on.
    private(set) var finished = false

    /// Enough for throughput, and little enough that a stalled receiver is felt by the sender.
    var wantsToRead: Bool { self.sourceEnded == nil && self.count < 262_144 }

    var nextDue: ContinuousClock.Instant? {
        self.pieces.first?.due ?? (self.finished ? nil : self.sourceEnded)
    }

    func isDue(_ now: ContinuousClock.Instant) -> Bool {
        self.nextDue.map { $0 <= now } ?? false
    }

    /// What is under way has waited enough.
    mutating func hurry(_ now: ContinuousClock.Instant) {
        for index in self.pieces.indices { self.pieces[index].due = min(self.pieces[index].due, now) }
        self.sourceEnded = self.sourceEnded.map { min($0, now) }
    }

    /// False if the source broke.
    mutating func read(from source: Int32, due: ContinuousClock.Instant) -> Bool {
        // Bytes never overtake each other, also when the delay shrinks.
        let due = max(due, self.pieces.last?.due ?? due)
        var buffer = [UInt8](repeating: 0, count: 65536)
        while self.wantsToRead {
            let got = buffer.withUnsafeMutableBytes { systemRead(source, $0.baseAddress, $0.count) }
            if got > 0 {
                self.pieces.append((due, buffer[0..<got]))
                self.count += got
            } else if got == 0 {
                self.sourceEnded = due
            } else if errno != EINTR {
                return errno == EAGAIN
            }
        }
        return true
    }

    /// False if the sink broke.
    mutating func write(to sink: Int32, now: ContinuousClock.Instant, count: inout Int) -> Bool {
        var done = 0
        defer { self.pieces.removeFirst(done) }
        while done < self.pieces.count, self.pieces[done].due <= now {
            let sent = self.pieces[done].bytes.withUnsafeBytes { testkit_send(sink, $0.baseAddress, $0.count) }
            if sent < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN
            }
            count += sent
            self.count -= sent
            if sent == self.pieces[done].bytes.count {
                done += 1
            } else {
                self.pieces[done].bytes.removeFirst(sent)
            }
        }
        if done == self.pieces.count, let sourceEnded, sourceEnded <= now, !self.finished {
            shutdown(sink, Int32(SHUT_WR))
            self.finished = true
        }
        return true
    }

    enum Dropped {
        case dropped
        case nothing
        case ended
    }

    static func drop(from source: Int32) -> Dropped {
        var buffer = [UInt8](repeating: 0, count: 65536)
        var any = false
        while true {
            let got = buffer.withUnsafeMutableBytes { systemRead(source, $0.baseAddress, $0.count) }
            if got > 0 {
                any = true
            } else if got < 0 && errno == EINTR {
                continue
            } else if got < 0 && errno == EAGAIN {
                return any ? .dropped : .nothing
            } else {
                return .ended
            }
        }
    }
}

// `read` is a name of the stream's own too.
private func systemRead(_ file: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(file, buffer, count)
}

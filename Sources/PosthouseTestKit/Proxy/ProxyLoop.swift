// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// The thread of a proxy: one poll loop that owns the listening socket and all connections.
///
/// `@unchecked Sendable`: made by one thread, handed to the loop's thread by ``start()``, and touched by that alone.
final class ProxyLoop: @unchecked Sendable {
    private static let backlog: Int32 = 128

    private let port: Int
    private let mailbox: ProxyMailbox
    private var target: Int
    private var listener: Int32
    /// While SYNs go unanswered: the connection of our own that fills the accept queue.
    private var filler: Int32 = -1
    private var fault = FaultProxy.Fault.none
    private var connections: [ProxyConnection] = []

    init(port: Int, target: Int, mailbox: ProxyMailbox) throws(LocalClusterError) {
        self.port = port
        self.target = target
        self.mailbox = mailbox
        self.listener = testkit_listen(UInt16(port), Self.backlog)
        guard self.listener >= 0 else {
            throw LocalClusterError(
                .noFreePort,
                "Could not listen on port \(port): \(systemMessage(self.listener))."
            )
        }
    }

    func start() {
        startThread { self.run() }
    }

    private func run() {
        while true {
            var items = [pollfd(fd: self.mailbox.bell, events: Int16(POLLIN), revents: 0)]
            // Poll reports errors of a socket even if nobody asked; one that nobody wants to hear of is left out (-1).
            items.append(
                pollfd(fd: self.filler < 0 ? self.listener : -1, events: Int16(POLLIN), revents: 0)
            )
            let now = ContinuousClock.now
            for connection in self.connections { connection.appendInterests(to: &items, now: now) }
            let wake = self.connections.compactMap { $0.nextDue(after: now) }.min()
            let ready = poll(&items, nfds_t(items.count), Self.milliseconds(until: wake, from: now))
            if ready < 0 {
                if errno == EINTR { continue }
                break
            }
            let present = ContinuousClock.now
            for (index, connection) in self.connections.enumerated() {
                connection.advance(
                    client: items[2 + 2 * index].revents,
                    server: items[3 + 2 * index].revents,
                    now: present
                )
            }
            if items[1].revents != 0 { self.acceptAll() }
            self.sweep()
            for letter in self.mailbox.take() {
                if case .close = letter.order {
                    self.end()
                    letter.completion?(nil)
                    return
                }
                let failure = self.obey(letter.order)
                self.sweep()
                letter.completion?(failure)
            }
        }
        self.end()
    }

    private static func milliseconds(
        until wake: ContinuousClock.Instant?,
        from now: ContinuousClock.Instant
    ) -> Int32 {
        guard let wake else { return -1 }
        let left = now.duration(to: wake)
        guard left > .zero else { return 0 }
        return Int32(clamping: left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1)
    }

    private func obey(_ order: ProxyMailbox.Order) -> LocalClusterError? {
        switch order {
        case .close: return nil
        case .retarget(let port):
            self.target = port
            return nil
        case .apply(let fault, let scope):
            // What has arrived by now is an existing connection.
            if self.listener >= 0 && self.filler < 0 { self.acceptAll() }
            if scope != .new {
                let now = ContinuousClock.now
                for connection in self.connections { connection.apply(fault, now: now) }
            }
            guard scope != .existing else { return nil }
            self.fault = fault
            return self.listenAsTheFaultWants()
        }
    }

    private func listenAsTheFaultWants() -> LocalClusterError? {
        if self.filler >= 0 && self.fault != .unreachable {
            testkit_answer_again(self.listener, self.filler, Self.backlog)
            self.filler = -1
        }
        if self.fault == .refuse {
            if self.listener >= 0 { testkit_stop_listening(self.listener) }
            self.listener = -1
            return nil
        }
        if self.listener < 0 {
            self.listener = testkit_listen(UInt16(self.port), Self.backlog)
            if self.listener < 0 {
                return LocalClusterError(
                    .noFreePort,
                    "Could not listen on port \(self.port) again: \(systemMessage(self.listener))."
                )
            }
        }
        if self.fault == .unreachable && self.filler < 0 {
            self.filler = testkit_ignore_connections(self.listener, UInt16(self.port))
            if self.filler < 0 {
                return LocalClusterError(
                    .noFreePort,
                    "Could not make port \(self.port) silent: \(systemMessage(self.filler))."
                )
            }
        }
        return nil
    }

    private func acceptAll() {
        while true {
            let client = testkit_accept(self.listener)
            guard client >= 0 else {
                // Out of descriptors, and the event stays: not at full speed.
                if client != -EAGAIN { usleep(5000) }
                return
            }
            self.mailbox.update { $0.accepted += 1 }
            self.connections.append(
                ProxyConnection(client: client, target: self.target, fault: self.fault, mailbox: self.mailbox)
            )
        }
    }

    /// Forgets the connections that ended, and says how many are open.
    private func sweep() {
        self.connections.removeAll { $0.ended }
        let open = self.connections.count
        self.mailbox.update { $0.open = open }
    }

    private func end() {
        for connection in self.connections { connection.reset() }
        self.connections = []
        if self.filler >= 0 { close(self.filler) }
        if self.listener >= 0 { testkit_stop_listening(self.listener) }
        self.listener = -1
        self.mailbox.shut()
    }
}

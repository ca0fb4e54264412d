// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// A server that is no PostgreSQL: accepts connections on 127.0.0.1 and does one thing to each.
final class TestListener: Sendable {
    enum Behaviour: Sendable {
        /// Accepts, reads nothing, says nothing.
        case silent
        /// Waits for the first bytes, and answers with these.
        case answer([UInt8])
        /// Waits for the first bytes, answers with these and closes.
        case answerAndClose([UInt8])
        /// Closes at once.
        case close
        /// Closes with a reset.
        case reset
        /// Never accepts; with its short queue full, new connections get no answer at all.
        case blackHole
    }

    let port: Int
    private let listener: Int32
    private let behaviour: Behaviour
    private let accepted = Mutex<[Int32]>([])

    struct Failure: Error {
        var errno: Int32
    }

    init(_ behaviour: Behaviour, address: String = "127.0.0.1", port: Int = 0) throws {
        self.behaviour = behaviour
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var one: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        var name = Self.name(address, port)
        let backlog: Int32 = if case .blackHole = behaviour { 0 } else { 64 }
        let isListening = Self.with(&name) { bind(listener, $0, $1) } == 0 && listen(listener, backlog) == 0
        let failure = errno
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &length) }
        }
        self.port = Int(UInt16(bigEndian: name.sin_port))
        self.listener = listener
        guard isListening else { throw Failure(errno: failure) }
        if case .blackHole = behaviour {
            try fillQueue(name)
        } else {
            Thread.start { [self] in serve(listener) }
        }
    }

    /// Ends it, and every connection to it.
    func stop() {
        _ = shutdown(listener, Int32(SHUT_RDWR))
        if case .blackHole = behaviour { close(listener) }
        for socket in accepted.withLock({ $0 }) { _ = shutdown(socket, Int32(SHUT_RDWR)) }
    }

    private func fillQueue(_ name: sockaddr_in) throws {
        var name = name
        for _ in 0..<2 {
            let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
            _ = Self.with(&name) { connect(client, $0, $1) }
            accepted.withLock { $0.append(client) }
        }
    }

    private func serve(_ listener: Int32) {
        while true {
            let client = accept(listener, nil, nil)
            guard client >= 0 else { break }
            switch behaviour {
            case .silent, .blackHole:
                accepted.withLock { $0.append(client) }
            case .close:
                close(client)
            case .reset:
                reset(client)
            case .answer(let bytes):
                answer(client, bytes)
                accepted.withLock { $0.append(client) }
            case .answerAndClose(let bytes):
                answer(client, bytes)
                close(client)
            }
        }
        close(listener)
        for socket in accepted.withLock({ $0 }) { close(socket) }
    }

    private func answer(_ client: Int32, _ bytes: [UInt8]) {
        var buffer = [UInt8](repeating: 0, count: 1024)
        _ = recv(client, &buffer, buffer.count, 0)
        _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    private func reset(_ client: Int32) {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        close(client)
    }

    private static func name(_ address: String, _ port: Int) -> sockaddr_in {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = UInt16(port).bigEndian
        inet_pton(AF_INET, address, &name.sin_addr)
        return name
    }

    private static func with(_ name: inout sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32
    {
        withUnsafePointer(to: &name) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }
}

/// A thread for what blocks.
enum Thread {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    static func start(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        pthread_create(
            &thread,
            nil,
            { argument in
                if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            },
            Unmanaged.passRetained(Body(body)).toOpaque()
        )
        pthread_detach(thread)
    }
}

/// A message as the server frames it: type, length, content.
func serverMessage(_ type: Character, _ content: [UInt8]) -> [UInt8] {
    let length = UInt32(content.count + 4)
    return [type.asciiValue ?? 0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) } + content
}

/// An ErrorResponse.
func serverError(_ severity: String, _ sqlState: String, _ message: String) -> [UInt8] {
    let fields = "S\(severity)\0V\(severity)\0C\(sqlState)\0M\(message)\0Ffile.c\0L1\0Rroutine\0"
    return serverMessage("E", Array(fields.utf8) + [0])
}

// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import PosthousePatroni

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Foundation's client against servers that misbehave.
@Suite(.timeLimit(.minutes(20))) struct URLSessionTransportTests {
    private func ask(_ server: RawServer, limit: Int = 1 << 20) async throws -> PatroniResponse {
        try await URLSessionTransport().send(
            PatroniRequest(
                url: "http://127.0.0.1:\(server.port)/cluster",
                headers: [(name: "Authorization", value: "Basic eDp5")],
                answerLimit: limit
            )
        )
    }

    private func answer(_ body: String, status: String = "200 OK", headers: String = "") -> String {
        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(headers)Connection: close\r\n\r\n\(body)"
    }

    @Test func theAnswerComesBackWithItsStatusAndTheHeadersGoThere() async throws {
        let server = try RawServer { _ in answer("hello", status: "503 Service Unavailable") }
        let response = try await ask(server)
        #expect(response.status == 503)
        #expect(response.body == Array("hello".utf8))
        let request = try #require(server.requests.first)
        #expect(request.hasPrefix("GET /cluster HTTP/1.1\r\n"))
        #expect(request.lowercased().contains("\r\nauthorization: basic edp5\r\n"))
    }

    @Test func aTooLongAnswerIsAnErrorBeforeItIsWhole() async throws {
        // It would never end.
        let server = try RawServer { sent in
            sent == 0 ? "HTTP/1.1 200 OK\r\n\r\n" : String(repeating: "x", count: 65_536)
        }
        let error = await #expect(throws: PatroniError.self) { try await ask(server, limit: 100_000) }
        #expect(error?.code == .answerTooLarge)
    }

    @Test func nobodyIsSentElsewhere() async throws {
        let other = try RawServer { _ in answer("elsewhere") }
        let server = try RawServer { _ in
            answer("", status: "302 Found", headers: "Location: http://127.0.0.1:\(other.port)/\r\n")
        }
        let status = try? await ask(server).status
        #expect(status != 200)
        #expect(other.requests.isEmpty)
    }

    @Test func aServerThatHangsUpOrTalksNonsenseIsATypedError() async throws {
        for text in ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"] {
            let server = try RawServer { sent in sent == 0 ? text : nil }
            await #expect(throws: PatroniError.self) { try await ask(server) }
        }
    }

    @Test func nobodyThereIsATypedError() async throws {
        let port = try RawServer { _ in nil }.closedPort()
        let transport = URLSessionTransport()
        let request = PatroniRequest(url: "http://127.0.0.1:\(port)/cluster", headers: [], answerLimit: 100)
        let error = await #expect(throws: PatroniError.self) { try await transport.send(request) }
        #expect(error?.code == .unreachable)
    }

    @Test func aCancelledRequestToAServerThatIsSilentEnds() async throws {
        let server = try RawServer(answersNothing: true)
        let question = Task { try await ask(server) }
        while server.requests.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        question.cancel()
        await #expect(throws: CancellationError.self) { try await question.value }
    }

    @Test func aRequestThatIsCancelledBeforeItBeginsEnds() async throws {
        let server = try RawServer(answersNothing: true)
        for _ in 0..<50 {
            let question = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await ask(server)
            }
            await #expect(throws: CancellationError.self) { try await question.value }
        }
        #expect(server.requests.isEmpty)
    }
}

/// Takes connections one after the other, reads a request, and sends what it is told.
private final class RawServer: Sendable {
    private struct Failed: Error {}

    let port: Int
    private let listener: Int32
    private let received = Mutex<[String]>([])

    var requests: [String] { received.withLock { $0 } }

    /// - Parameter next: What to send, given how many pieces were sent; nil hangs up. One piece that begins with "HTTP" and says
    ///   how long it is ends by itself.
    convenience init(_ next: @escaping @Sendable (Int) -> String?) throws {
        try self.init(answersNothing: false, next)
    }

    init(answersNothing: Bool, _ next: @escaping @Sendable (Int) -> String? = { _ in nil }) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isListening = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(listener, generic, length) == 0 && listen(listener, 8) == 0
                    && getsockname(listener, generic, &length) == 0
            }
        }
        guard isListening else { throw Failed() }
        self.listener = listener
        self.port = Int(address.sin_port.bigEndian)
        var thread = pthread_t()
        let work = Work {
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                self.serve(client, answersNothing: answersNothing, next)
                close(client)
            }
        }
        pthread_create(
            &thread,
            nil,
            { argument in
                argument.map { Unmanaged<Work>.fromOpaque($0).takeRetainedValue().run() }
                return nil
            },
            Unmanaged.passRetained(work).toOpaque()
        )
        pthread_detach(thread)
    }

    /// Nobody listens there any more.
    func closedPort() -> Int {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        return port
    }

    private func serve(_ client: Int32, answersNothing: Bool, _ next: (Int) -> String?) {
        var request: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !request.suffix(4).elementsEqual(Array("\r\n\r\n".utf8)) {
            let count = read(client, &buffer, buffer.count)
            guard count > 0 else { return }
            request += buffer.prefix(count)
        }
        received.withLock { $0.append(String(decoding: request, as: UTF8.self)) }
        if answersNothing {
            _ = read(client, &buffer, 1)
            return
        }
        var sent = 0
        while let piece = next(sent) {
            let bytes = Array(piece.utf8)
            guard send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return }
            sent += 1
            if piece.contains("Content-Length") { return }
        }
    }

    private final class Work: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) {
            self.run = run
        }
    }
}

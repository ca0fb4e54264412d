// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import PosthouseReactor

/// Two connected non-blocking Unix sockets; whoever holds it closes them.
final class SocketPair: Sendable {
    let near: Int32
    let far: Int32

    init() throws {
        var descriptors: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        try #require(socketpair(AF_UNIX, type, 0, &descriptors) == 0)
        near = descriptors[0]
        far = descriptors[1]
    }

    deinit {
        close(near)
        close(far)
    }

    /// Sends one byte from the far end.
    func ping(_ byte: UInt8 = 1) {
        PosthouseReactorTests.send(byte, to: far)
    }

    /// Reads one byte at the near end; nil if there is none.
    func take() -> UInt8? {
        receive(from: near)
    }
}

/// Sends one byte; false if the socket is full or closed.
@discardableResult
func send(_ byte: UInt8, to descriptor: Int32) -> Bool {
    var byte = byte
    return Glibc.send(descriptor, &byte, 1, Int32(MSG_NOSIGNAL)) == 1
}

/// Receives one byte; nil if there is none (or the peer closed).
func receive(from descriptor: Int32) -> UInt8? {
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, 0) == 1 ? byte : nil
}

/// Fills a socket's buffer until it would block.
func fill(_ descriptor: Int32) {
    let block = [UInt8](repeating: 0, count: 65536)
    while Glibc.send(descriptor, block, block.count, Int32(MSG_NOSIGNAL)) > 0 {}
}

/// Empties a socket's buffer.
func drain(_ descriptor: Int32) {
    var block = [UInt8](repeating: 0, count: 65536)
    while recv(descriptor, &block, block.count, 0) > 0 {}
}

extension EventLoop {
    /// Waits until the statistics satisfy a condition; fails after a generous while.
    func eventually(
        _ condition: (LoopStatistics) -> Bool,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while !condition(statistics) {
            guard ContinuousClock.now < deadline else {
                Issue.record("never came to be: \(statistics)", sourceLocation: sourceLocation)
                return
            }
            try await Task.sleep(for: .microseconds(200))
        }
    }
}

/// Runs a test with a loop of its own, and expects that nothing is left in it at the end.
func withLoop<Result>(
    _ body: nonisolated(nonsending) (EventLoop) async throws -> Result
) async throws -> Result {
    let loop = try EventLoop(name: "test")
    do {
        let result = try await body(loop)
        await loop.shutdown()
        #expect(loop.statistics == .nothing)
        return result
    } catch {
        await loop.shutdown()
        throw error
    }
}

extension LoopStatistics {
    static let nothing = LoopStatistics(registrations: 0, waitingContinuations: 0, pendingTimers: 0, queuedJobs: 0)
}

/// How a wait ended: nil if the socket was ready.
func outcome(
    of registration: SocketRegistration,
    for interest: Readiness = .read,
    until deadline: ContinuousClock.Instant? = nil
) async -> SocketWaitError? {
    do throws(SocketWaitError) {
        try await registration.wait(for: interest, until: deadline)
        return nil
    } catch {
        return error
    }
}

/// Far enough away not to matter, near enough to end a test that hangs.
func later() -> ContinuousClock.Instant {
    .now + .seconds(60)
}

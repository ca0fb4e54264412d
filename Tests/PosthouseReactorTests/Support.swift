// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization
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

/// Waits until a condition holds; fails after a generous while.
func eventually(
    _ condition: () throws -> Bool,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let deadline = ContinuousClock.now + .seconds(300)
    while try !condition() {
        try #require(ContinuousClock.now < deadline, "never came to be", sourceLocation: sourceLocation)
        try await Task.sleep(for: .microseconds(200))
    }
}

extension EventLoop {
    /// Waits until the statistics satisfy a condition; fails after a generous while.
    func eventually(
        sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: (LoopStatistics) -> Bool
    ) async throws {
        try await PosthouseReactorTests.eventually({ condition(statistics) }, sourceLocation: sourceLocation)
    }

    /// Returns when the loop has handed out everything that was in its sockets when this was called.
    func turn() async {
        // The first closure may run in a turn that has looked at the sockets already; the second one is posted during that
        // turn or after it, by another thread, and so runs in a later one.
        for _ in 0..<2 {
            await withCheckedContinuation { continuation in
                execute { continuation.resume() }
            }
        }
    }

    /// Runs a closure on the loop's thread and returns what it returns.
    func run<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
        await withCheckedContinuation { continuation in
            execute { continuation.resume(returning: body()) }
        }
    }
}

/// A number that any thread may count up.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)

    var value: Int { count.load(ordering: .sequentiallyConsistent) }

    func increment() {
        count.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
}

/// A switch that any thread may set, once.
final class Flag: Sendable {
    private let flag = Atomic<Bool>(false)

    var isSet: Bool { flag.load(ordering: .sequentiallyConsistent) }

    func set() {
        flag.store(true, ordering: .sequentiallyConsistent)
    }

    /// Blocks the thread until the switch is set.
    func waitBlocking() {
        while !isSet { usleep(100) }
    }
}

/// A place for a value that closures share.
final class Box<Value: Sendable>: Sendable {
    private let storage = Mutex<Value?>(nil)

    var value: Value? {
        get { storage.withLock { $0 } }
        set { storage.withLock { $0 = newValue } }
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
    until deadline: ContinuousClock.Instant? = later()
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
    .now + .seconds(300)
}

/// A small generator that replays from its seed.
struct Random {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed &+ 0x9E37_79B9_7F4A_7C15
    }

    mutating func next(below limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(limit))
    }
}

/// Passes a little time without giving the processor away.
func spin(_ rounds: Int) {
    let counter = Counter()
    for _ in 0..<rounds { counter.increment() }
}

/// Runs a shell command and waits for its end.
func shell(_ command: String) -> Int32 {
    command.withCString { text in
        guard let script = strdup(text), let name = strdup("sh"), let option = strdup("-c") else { return -1 }
        defer {
            free(script)
            free(name)
            free(option)
        }
        var child = pid_t()
        guard posix_spawn(&child, "/bin/sh", nil, nil, [name, option, script, nil], nil) == 0 else { return -1 }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        return status
    }
}

/// Runs a closure on a new thread and returns when it has ended.
func onThread(_ body: @escaping @Sendable () -> Void) async {
    await withCheckedContinuation { continuation in
        let start = Unmanaged.passRetained(
            ThreadStart {
                body()
                continuation.resume()
            }
        )
        var thread = pthread_t()
        let result = pthread_create(
            &thread,
            nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            },
            start.toOpaque()
        )
        guard result == 0 else {
            Issue.record("no thread: \(result)")
            start.release()
            continuation.resume()
            return
        }
        pthread_detach(thread)
    }
}

private final class ThreadStart: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
    }
}

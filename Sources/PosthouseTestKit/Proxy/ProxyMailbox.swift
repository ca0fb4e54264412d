// SPDX-License-Identifier: Apache-2.0

internal import CTestKit
import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// What tasks and a proxy's thread tell each other.
final class ProxyMailbox: Sendable {
    enum Order: Sendable {
        case apply(FaultProxy.Fault, FaultProxy.Scope)
        case retarget(Int)
        case close
    }
    typealias Completion = @Sendable (LocalClusterError?) -> Void
    typealias Letter = (order: Order, completion: Completion?)

    private struct State {
        var letters: [Letter] = []
        var closed = false
        var statistics = FaultProxy.Statistics()
    }
    private let state = Mutex(State())
    /// Readable when there is a letter.
    let bell: Int32
    private let ringer: Int32

    init() throws(LocalClusterError) {
        var pair: [Int32] = [-1, -1]
        let result = testkit_wake_pair(&pair)
        guard result == 0 else {
            throw LocalClusterError(.fileSystem, "Could not make a pipe: \(systemMessage(result)).")
        }
        self.bell = pair[0]
        self.ringer = pair[1]
    }

    deinit {
        close(self.bell)
        close(self.ringer)
    }

    var statistics: FaultProxy.Statistics {
        self.state.withLock { $0.statistics }
    }

    func post(_ order: Order, then completion: Completion?) {
        let closed = self.state.withLock { state in
            if !state.closed { state.letters.append((order, completion)) }
            return state.closed
        }
        if closed {
            completion?(LocalClusterError(.notRunning, "The proxy is closed."))
        } else {
            var byte: UInt8 = 1
            _ = write(self.ringer, &byte, 1)
        }
    }

    // MARK: - The thread's side

    func take() -> [Letter] {
        var buffer = [UInt8](repeating: 0, count: 64)
        while buffer.withUnsafeMutableBytes({ read(self.bell, $0.baseAddress, $0.count) }) > 0 {}
        return self.state.withLock { state in
            defer { state.letters = [] }
            return state.letters
        }
    }

    func update(_ change: (inout FaultProxy.Statistics) -> Void) {
        self.state.withLock { change(&$0.statistics) }
    }

    /// No letter comes after this; those that came meanwhile are answered.
    func shut() {
        let rest = self.state.withLock { state in
            state.closed = true
            state.statistics.open = 0
            defer { state.letters = [] }
            return state.letters
        }
        for letter in rest { letter.completion?(LocalClusterError(.notRunning, "The proxy is closed.")) }
    }
}

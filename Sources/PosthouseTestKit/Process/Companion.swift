// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// A program that serves beside the servers of a cluster, in a folder of its own there: it ends with the cluster.
final class Companion: Sendable {
    /// For messages.
    let name: String
    let program: ChildProcess
    private let process = ServerProcess()

    init(_ name: String, _ program: ChildProcess) {
        self.name = name
        self.program = program
    }

    /// Starts it, if it does not run, and waits until it serves.
    ///
    /// - Throws: ``LocalClusterError/Code/startFailed``, with its log.
    func start(
        within limit: Duration,
        serves: (ContinuousClock.Instant) async throws(LocalClusterError) -> Bool
    ) async throws(LocalClusterError) {
        let deadline = ContinuousClock.now + limit
        if self.process.pid == nil {
            let program = self.program
            self.process.started(try await offCooperativePool { () throws(LocalClusterError) in try program.start() })
        }
        let isServing = try await waitUntil(deadline, every: .milliseconds(20)) {
            () async throws(LocalClusterError) in
            guard self.process.pid != nil else { throw self.failure("\(self.name) ended.") }
            return try await serves(deadline)
        }
        guard isServing else { throw self.failure("\(self.name) does not serve after \(limit.inSeconds).") }
    }

    /// Kills it, and waits until it is gone. Does nothing if it does not run.
    func kill() async throws(LocalClusterError) {
        if let pid = self.process.pid { sendKill(to: pid) }
        let isGone = try await waitUntil(.now + .seconds(60)) { () throws(LocalClusterError) in
            self.process.reap()
            return self.process.pid == nil
        }
        guard isGone else { throw LocalClusterError(.timedOut, "\(self.name) did not end.") }
    }

    /// Takes note of its end.
    func reap() {
        self.process.reap()
    }

    private func failure(_ message: String) -> LocalClusterError {
        LocalClusterError(.startFailed, message, log: self.program.output.map { Files.tail(of: $0, lines: 20) })
    }
}

/// `kill` is the class's own word.
private func sendKill(to process: Int32) {
    kill(process, SIGKILL)
}

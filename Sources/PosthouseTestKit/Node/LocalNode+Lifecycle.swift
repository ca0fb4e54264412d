// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

extension LocalNode {
    /// How a server is asked to stop; the names are those of `pg_ctl`.
    public enum StopMode: String, Sendable, Hashable, CaseIterable {
        /// Waits until the last session ends by itself.
        case smart
        /// Ends the sessions (57P01), writes a checkpoint, sends the rest of the log to the replicas.
        case fast
        /// Drops everything; the next start recovers, as after a crash.
        case immediate

        var signal: Int32 {
            switch self {
            case .smart: SIGTERM
            case .fast: SIGINT
            case .immediate: SIGQUIT
            }
        }
    }

    /// Starts the node as it is: a primary that was replaced meanwhile comes back as a primary, on its old timeline.
    ///
    /// Does nothing if the node is up.
    ///
    /// - Parameters:
    ///   - waiting: Whether to wait until it accepts sessions. Default: true.
    ///   - limit: How long. Default: 120 s.
    /// - Throws: ``LocalClusterError/Code/startFailed`` if the server ends, with its log.
    public func start(waiting: Bool = true, within limit: Duration = .seconds(120)) async throws(LocalClusterError) {
        let deadline = ContinuousClock.now + limit
        if try await self.pids().isEmpty {
            try await offCooperativePool { [self] () throws(LocalClusterError) in
                guard testkit_port_is_free(UInt16(self.port)) == 1 else {
                    throw self.failure(.noFreePort, "Port \(self.port) is in use by another program.")
                }
                // Those of a former life. Their process id may belong to another program by now, or to a zombie that
                // nobody has reaped, and the server would believe that it runs already.
                try Files.removeFile("\(self.dataDirectory)/postmaster.pid")
                if let directory = self.socketDirectory {
                    try Files.removeFile("\(directory)/.s.PGSQL.\(self.port).lock")
                }
                let process = try self.layout.program(
                    "postgres",
                    ["-D", self.dataDirectory],
                    directory: self.dataDirectory,
                    output: self.logFile
                ).start()
                self.server.started(process)
            }
        }
        if waiting { try await self.waitUntilReady(deadline: deadline, limit: limit) }
    }

    /// Waits until the node accepts sessions.
    ///
    /// - Throws: ``LocalClusterError/Code/startFailed`` if the server is down or ends meanwhile, with its log.
    public func waitUntilReady(within limit: Duration = .seconds(120)) async throws(LocalClusterError) {
        try await self.waitUntilReady(deadline: .now + limit, limit: limit)
    }

    private func waitUntilReady(
        deadline: ContinuousClock.Instant,
        limit: Duration
    ) async throws(LocalClusterError) {
        let ready = try await waitUntil(deadline) { () throws(LocalClusterError) in
            if let file = PostmasterFile(dataDirectory: self.dataDirectory), self.isAlive(file.pid) {
                return file.phase == "ready" || file.phase == "standby"
            }
            // No file yet, or that of a former life: it may just have begun.
            if let child = self.server.pid, self.isAlive(child) { return false }
            throw self.failure(.startFailed, "The server is not running.")
        }
        guard ready else {
            throw self.failure(.timedOut, "The server did not accept sessions within \(limit.inSeconds).")
        }
    }

    /// Stops the server and waits until all its processes are gone. Does nothing if it is down; a paused node gets the
    /// order before it thaws.
    ///
    /// - Parameters:
    ///   - mode: How. Default: fast.
    ///   - waiting: Whether to wait. Default: true.
    ///   - limit: How long it may take; a smart stop lasts as long as there are sessions. Default: 120 s.
    public func stop(
        _ mode: StopMode = .fast,
        waiting: Bool = true,
        within limit: Duration = .seconds(120)
    ) async throws(LocalClusterError) {
        let deadline = ContinuousClock.now + limit
        let found = try await self.pids()
        guard !found.isEmpty else { return }
        if let file = PostmasterFile(dataDirectory: self.dataDirectory), found.contains(file.pid) {
            // `kill` is this class's own word for more than a signal.
            sendSignal(mode.signal, to: file.pid)
            try await self.resume()
        }
        guard waiting else { return }
        let gone = try await waitUntil(deadline) { () throws(LocalClusterError) in
            self.server.reap()
            if let file = PostmasterFile(dataDirectory: self.dataDirectory), self.isAlive(file.pid) { return false }
            return try await self.pids().isEmpty
        }
        guard gone else {
            throw self.failure(.timedOut, "The server did not stop (\(mode)) within \(limit.inSeconds).")
        }
    }

    /// Kills all processes of the node at once (SIGKILL), as a power cut does, and waits until they are gone.
    public func kill() async throws(LocalClusterError) {
        try await offCooperativePool { [self] () throws(LocalClusterError) in
            try self.processes.kill()
            self.server.reap()
        }
    }

    /// Freezes the node (SIGSTOP to all its processes): its sockets stay open and are silent, new connections are
    /// accepted by the kernel and get no answer.
    ///
    /// - Throws: ``LocalClusterError/Code/notRunning``.
    public func pause() async throws(LocalClusterError) {
        let count = try await offCooperativePool { [processes] () throws(LocalClusterError) in
            try processes.stop()
        }
        guard count > 0 else { throw self.failure(.notRunning, "The server is not running: it cannot be paused.") }
    }

    /// Lets a frozen node go on. Does nothing if it is not frozen.
    public func resume() async throws(LocalClusterError) {
        _ = try await offCooperativePool { [processes] () throws(LocalClusterError) in
            try processes.resume()
        }
    }

    /// Sends SIGHUP, so that the server reads its configuration files again.
    ///
    /// - Throws: ``LocalClusterError/Code/notRunning``.
    public func reload() async throws(LocalClusterError) {
        sendSignal(SIGHUP, to: try self.postmaster())
    }

    func postmaster() throws(LocalClusterError) -> Int32 {
        guard let file = PostmasterFile(dataDirectory: self.dataDirectory), self.isAlive(file.pid) else {
            throw self.failure(.notRunning, "The server is not running.")
        }
        return file.pid
    }

    /// Whether a process exists and is more than a zombie.
    func isAlive(_ process: Int32) -> Bool {
        self.server.reap()
        guard let state = ProcessFolder.state(of: process) else { return false }
        return state != "Z" && state != "X"
    }
}

private func sendSignal(_ signal: Int32, to process: Int32) {
    kill(process, signal)
}

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

/// Rules of the kernel's packet filter (`iptables`) for ports of the loopback interface: what a ``FaultProxy`` cannot do,
/// as the kernel at its end still acknowledges what it is sent.
///
/// ```swift
/// let filter = try await PacketFilter.install()
/// try await filter.drop(cluster.primary.port)    // its host is gone, without a word
/// try await filter.heal()
/// ```
///
/// Needs root. The rules are in a chain of their own, which is removed by ``remove()``, when the filter is let go of, and when
/// the process dies, however it does: another process waits for that.
public final class PacketFilter: Sendable {
    /// Whose packets are lost.
    public enum Direction: Sendable, Hashable {
        /// Both ways: the sockets are half open at both ends, and nobody tells.
        case both
        /// What clients send: a statement does not arrive.
        case toServer
        /// What the server sends: a statement runs, and its answer does not arrive.
        case toClient
    }

    let chain: String
    private let watch: ProgramAtEnd

    private init(chain: String, watch: ProgramAtEnd) {
        self.chain = chain
        self.watch = watch
    }

    /// Whether this process may filter packets: it is root's, `iptables` is installed, and the kernel knows all rules that
    /// are needed. Found out by trying; many a container may list rules and not make any.
    public static func isAvailable() async -> Bool {
        guard geteuid() == 0, let filter = try? await self.install() else { return false }
        // Nobody listens on port 1.
        var isObeyed = (try? await filter.drop(1)) != nil
        if isObeyed { isObeyed = (try? await filter.reject(1)) != nil }
        await filter.remove()
        return isObeyed
    }

    /// Makes an empty chain, through which all packets on the loopback interface go.
    ///
    /// - Throws: ``LocalClusterError``: `installationNotFound`, `commandFailed`, also for who is not root.
    public static func install() async throws(LocalClusterError) -> PacketFilter {
        let chain = "posthouse-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        let program = try InstalledProgram.path(of: "iptables")
        let removal = [
            "\(program) -w -D INPUT -i lo -j \(chain)", "\(program) -w -F \(chain)", "\(program) -w -X \(chain)",
        ]
        // The watch comes first: what is not there yet can be removed too.
        let watch = try await offCooperativePool { () throws(LocalClusterError) in
            try ProgramAtEnd(
                ChildProcess(
                    path: "/bin/sh",
                    arguments: ["-c", removal.joined(separator: "; ")],
                    directory: "/",
                    output: nil,
                    user: ServerUser(name: "", change: nil)
                )
            )
        }
        let filter = PacketFilter(chain: chain, watch: watch)
        try await self.run(["-N", chain])
        try await self.run(["-I", "INPUT", "1", "-i", "lo", "-j", chain])
        return filter
    }

    /// Loses packets of a port from now on, those of connections that are open too: as when a cable is pulled.
    ///
    /// - Throws: ``LocalClusterError/Code/commandFailed``.
    public func drop(_ port: Int, _ direction: Direction = .both) async throws(LocalClusterError) {
        if direction != .toClient { try await add(["--dport", "\(port)", "-j", "DROP"]) }
        if direction != .toServer { try await add(["--sport", "\(port)", "-j", "DROP"]) }
    }

    /// Answers what is sent to a port with a reset from now on, as a host that was restarted or a firewall that says so.
    ///
    /// - Throws: ``LocalClusterError/Code/commandFailed``.
    public func reject(_ port: Int) async throws(LocalClusterError) {
        try await add(["--dport", "\(port)", "-j", "REJECT", "--reject-with", "tcp-reset"])
        // The server is not told, and what it sends is lost; the resets, which are sent in its name, are not.
        try await add(["--sport", "\(port)", "!", "--tcp-flags", "RST", "RST", "-j", "DROP"])
    }

    /// Lets all packets through again. What was lost is sent again by those who still wait for its arrival.
    ///
    /// - Throws: ``LocalClusterError/Code/commandFailed``.
    public func heal() async throws(LocalClusterError) {
        try await Self.run(["-F", chain])
    }

    /// Removes the chain, and waits until it is gone. Doing it again does nothing.
    public func remove() async {
        let watch = watch
        try? await offCooperativePool { () throws(LocalClusterError) in watch.end() }
    }

    private func add(_ rule: [String]) async throws(LocalClusterError) {
        try await Self.run(["-A", chain, "-p", "tcp"] + rule)
    }

    private static func run(_ arguments: [String]) async throws(LocalClusterError) {
        try await ChildProcess(
            path: try InstalledProgram.path(of: "iptables"),
            arguments: ["-w"] + arguments,
            directory: "/",
            output: nil,
            user: ServerUser(name: "", change: nil)
        ).run(within: .seconds(60))
    }
}

/// A program that runs when it is let go of, or when this process ends, however it does.
private final class ProgramAtEnd: Sendable {
    private let state: Mutex<(process: pid_t, channel: Int32)?>

    init(_ program: ChildProcess) throws(LocalClusterError) {
        var channel: Int32 = -1
        let process = program.withProgram { testkit_run_at_end($0, &channel) }
        guard process > 0 else {
            throw LocalClusterError(.commandFailed, "Could not watch this process: \(systemMessage(process)).")
        }
        state = Mutex((process, channel))
    }

    /// Runs it now, and waits until it has ended. Blocks.
    func end() {
        guard let (process, channel) = take() else { return }
        close(channel)
        while waitpid(process, nil, 0) < 0 && errno == EINTR {}
    }

    private func take() -> (process: pid_t, channel: Int32)? {
        state.withLock { state in
            defer { state = nil }
            return state
        }
    }

    deinit {
        guard let (process, channel) = take() else { return }
        close(channel)
        startThread(orNot: true) { while waitpid(process, nil, 0) < 0 && errno == EINTR {} }
    }
}

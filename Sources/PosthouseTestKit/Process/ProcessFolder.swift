// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// All processes whose working directory lies in a folder: those of a node (its data directory), or of a cluster.
struct ProcessFolder: Sendable {
    var path: String
    var user: ServerUser

    func list() throws(LocalClusterError) -> [pid_t] {
        try self.apply(TESTKIT_LIST, "list")
    }

    /// SIGKILL to all of them, until none is left.
    func kill() throws(LocalClusterError) {
        _ = try self.apply(TESTKIT_KILL, "kill")
    }

    /// SIGSTOP, until every one of them is stopped; their number.
    func stop() throws(LocalClusterError) -> Int {
        try self.apply(TESTKIT_STOP, "stop").count
    }

    /// SIGCONT, until none of them is stopped; their number.
    func resume() throws(LocalClusterError) -> Int {
        try self.apply(TESTKIT_CONTINUE, "continue").count
    }

    private func apply(_ action: testkit_action, _ verb: String) throws(LocalClusterError) -> [pid_t] {
        var found = [pid_t](repeating: 0, count: 512)
        let count = found.withUnsafeMutableBufferPointer {
            testkit_processes(
                self.path,
                action,
                15000,
                self.user.uid,
                self.user.gid,
                $0.baseAddress,
                Int32($0.count)
            )
        }
        guard count >= 0 else {
            throw LocalClusterError(
                count == -ETIMEDOUT ? .timedOut : .cleanUpFailed,
                "Could not \(verb) the processes in \(self.path): \(systemMessage(count))."
            )
        }
        return Array(found.prefix(Int(count)))
    }

    /// R, S, T, Z ... as in /proc; nil if there is no such process.
    static func state(of process: pid_t) -> Character? {
        guard let text = Files.text(of: "/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        return text[text.index(after: end)...].first { $0 != " " }
    }
}

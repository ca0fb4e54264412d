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

/// A node's postmaster, as a child of this process.
///
/// A child that ended is a zombie until its parent takes note. Whoever waits for *any* child meanwhile, as a testing library
/// does for its exit tests, sees that zombie and no other; so a thread waits for each postmaster and takes note at once.
final class ServerProcess: Sendable {
    /// The process id until it was reaped; nil also if another process started the server.
    private let child = Mutex<pid_t?>(nil)

    var pid: pid_t? { self.child.withLock { $0 } }

    func started(_ process: pid_t) {
        self.child.withLock { child in
            if let former = child { Self.reap(former) }
            child = process
        }
        startThread(orNot: true) { [self] in
            // Without reaping: a process id that was reaped may be another child's, and only the lock tells.
            var information = siginfo_t()
            while waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
            self.child.withLock { child in
                if child == process, Self.reap(process) { child = nil }
            }
        }
    }

    /// Takes note now if it ended.
    func reap() {
        self.child.withLock { child in
            if let process = child, Self.reap(process) { child = nil }
        }
    }

    @discardableResult
    private static func reap(_ process: pid_t) -> Bool {
        var status: Int32 = 0
        return testkit_reap(process, &status) == 1
    }
}

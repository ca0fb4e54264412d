// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// A program to be run for a cluster: as the servers' user, in its folder, out of reach of Ctrl-C.
struct ChildProcess: Sendable {
    var path: String
    var arguments: [String]
    /// The working directory decides which processes the watchdog and ``kill()`` find; inside the cluster's folder.
    var directory: String
    /// The file that takes stdout and stderr.
    var output: String?
    var user: ServerUser

    /// Nothing of the caller's environment: a stray `PGPORT` or `LC_ALL` must not change what a test does.
    private var environment: [String] {
        let folder = self.path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        return [
            "PATH=\(folder.joined(separator: "/")):/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC",
            "HOME=\(self.directory)", "PGCONNECT_TIMEOUT=10",
        ]
    }

    /// Starts it and returns its process id.
    func start() throws(LocalClusterError) -> pid_t {
        let process = self.withProgram { testkit_spawn($0) }
        guard process > 0 else {
            throw LocalClusterError(
                .commandFailed,
                "Could not start \(self.path) in \(self.directory): \(systemMessage(process))."
            )
        }
        return process
    }

    /// Lends it as C knows it.
    func withProgram<Result>(_ body: (UnsafePointer<testkit_program>) -> Result) -> Result {
        withCStrings([self.path] + self.arguments) { arguments in
            withCStrings(self.environment) { environment in
                self.path.withCString { path in
                    self.directory.withCString { directory in
                        withOptionalCString(self.output) { output in
                            var program = testkit_program(
                                path: path,
                                arguments: arguments,
                                environment: environment,
                                directory: directory,
                                output: output,
                                user: self.user.uid,
                                group: self.user.gid
                            )
                            return body(&program)
                        }
                    }
                }
            }
        }
    }

    /// Runs it to its end.
    ///
    /// - Throws: ``LocalClusterError/Code/commandFailed`` with its output if it does not end with status 0,
    ///   ``LocalClusterError/Code/timedOut`` (it is killed) and ``LocalClusterError/Code/cancelled``.
    func run(within limit: Duration) async throws(LocalClusterError) {
        let program = self
        let process = try await offCooperativePool { () throws(LocalClusterError) in try program.start() }
        let name = self.path.split(separator: "/").last.map(String.init) ?? self.path
        var status: Int32 = 0
        var ended = false
        do throws(LocalClusterError) {
            ended = try await waitUntil(.now + limit, every: .milliseconds(2)) { () throws(LocalClusterError) in
                testkit_reap(process, &status) == 1
            }
        } catch {
            self.abandon(process)
            throw error
        }
        guard ended else {
            self.abandon(process)
            throw LocalClusterError(
                .timedOut,
                "\(name) did not end within \(limit.inSeconds).",
                log: self.output.map(self.tail)
            )
        }
        guard status == 0 else {
            let reason = status & 0x7f == 0 ? "status \((status >> 8) & 0xff)" : "signal \(status & 0x7f)"
            throw LocalClusterError(
                .commandFailed,
                "\(name) \(self.arguments.joined(separator: " ")) ended with \(reason).",
                log: self.output.map(self.tail)
            )
        }
    }

    private func tail(_ path: String) -> String {
        Files.tail(of: path, lines: 30)
    }

    private func abandon(_ process: pid_t) {
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
    }
}

private func withCStrings<Result>(
    _ strings: [String],
    _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    var copies: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    copies.append(nil)
    return copies.withUnsafeBufferPointer { buffer in
        // An array that holds at least its final nil has a base address.
        withExtendedLifetime(buffer) { body(buffer.baseAddress!) }
    }
}

private func withOptionalCString<Result>(_ string: String?, _ body: (UnsafePointer<CChar>?) -> Result) -> Result {
    guard let string else { return body(nil) }
    return string.withCString(body)
}

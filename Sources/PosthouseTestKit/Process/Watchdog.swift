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

/// A process that outlives this one just long enough to kill the cluster's processes and remove its folder.
///
/// It watches the other end of a socket, which the kernel closes however this process dies. An orderly shutdown takes
/// the same way, so the way is well trodden.
final class Watchdog: Sendable {
    private struct State {
        var channel: Int32
        var process: pid_t
    }
    private let state: Mutex<State?>
    let folder: String

    /// Starts the watchdog, which makes the folder.
    init(folder: String, user: ServerUser) throws(LocalClusterError) {
        self.folder = folder
        var channel: Int32 = -1
        let process = testkit_watchdog(folder, user.uid, user.gid, &channel)
        guard process > 0 else {
            if process == -ENOTSUP {
                throw LocalClusterError(.unsupportedPlatform, "Local clusters run on Linux only.")
            }
            let code: LocalClusterError.Code = process == -EEXIST ? .alreadyExists : .fileSystem
            throw LocalClusterError(code, "Could not make the folder \(folder): \(systemMessage(process)).")
        }
        self.state = Mutex(State(channel: channel, process: process))
    }

    /// A new folder with a unique name in the temporary directory, and its watchdog.
    static func inTemporaryFolder(prefix: String, user: ServerUser) throws(LocalClusterError) -> Watchdog {
        var failure: LocalClusterError?
        for parent in self.temporaryFolders where testkit_can_enter(parent, user.uid, user.gid) == 1 {
            for _ in 0..<10 {
                let name = String(UInt64.random(in: .min ... .max), radix: 36)
                do throws(LocalClusterError) {
                    return try Watchdog(folder: "\(parent)/\(prefix)-\(name)", user: user)
                } catch {
                    failure = error
                    if error.code != .alreadyExists { break }
                }
            }
        }
        throw failure ?? LocalClusterError(.fileSystem, "There is no temporary folder that \(user.name) can enter.")
    }

    private static var temporaryFolders: [String] {
        let asked = getenv("TMPDIR").map { String(cString: $0) }
        return [asked, "/tmp", "/var/tmp"].compactMap { $0 }.compactMap { Files.resolved($0) }
    }

    /// Lets go: the folder and its processes stay.
    func disarm() {
        guard let state = self.take() else { return }
        var order = UInt8(ascii: "D")
        _ = write(state.channel, &order, 1)
        close(state.channel)
        while waitpid(state.process, nil, 0) < 0 && errno == EINTR {}
    }

    /// Kills and removes everything, and waits until that is done. Doing it again does nothing. Blocks.
    func cleanUp() throws(LocalClusterError) {
        guard let state = self.take() else { return }
        close(state.channel)
        var status: Int32 = 0
        while waitpid(state.process, &status, 0) < 0 {
            // Somebody else of this process waited for it; whether the folder is gone tells as much.
            if errno != EINTR { break }
        }
        if Files.exists(self.folder) {
            throw LocalClusterError(
                .cleanUpFailed,
                "The folder \(self.folder) could not be removed with all its processes."
            )
        }
    }

    private func take() -> State? {
        self.state.withLock { state in
            defer { state = nil }
            return state
        }
    }

    deinit {
        guard let state = self.take() else { return }
        close(state.channel)
        // It takes its time to clean up, and then wants to be reaped.
        Task.detached { [process = state.process] in
            try? await offCooperativePool { () throws(LocalClusterError) in
                while waitpid(process, nil, 0) < 0 && errno == EINTR {}
            }
        }
    }
}

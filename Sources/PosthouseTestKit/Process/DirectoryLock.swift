// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// The right to change what is in a directory, against other processes that ask the same way. It lies in no file and
/// ends with the process.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    private init(descriptor: Int32) {
        self.descriptor = descriptor
    }

    /// Nil if there is no such directory.
    static func take(_ directory: String, within limit: Duration) async throws(LocalClusterError) -> DirectoryLock? {
        let deadline = ContinuousClock.now + limit
        while true {
            let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            guard descriptor >= 0 else {
                if errno == ENOENT { return nil }
                throw Files.failure("open", directory, errno)
            }
            let lock = DirectoryLock(descriptor: descriptor)
            let locked = try await waitUntil(deadline) { () throws(LocalClusterError) in
                flock(descriptor, LOCK_EX | LOCK_NB) == 0
            }
            guard locked else {
                throw LocalClusterError(
                    .timedOut,
                    "Another process has been working in \(directory) for \(limit.inSeconds)."
                )
            }
            // Its former holder may have removed the directory, and somebody else made it anew.
            if lock.isCurrent(directory) { return lock }
        }
    }

    deinit {
        close(self.descriptor)
    }

    private func isCurrent(_ directory: String) -> Bool {
        var locked = stat()
        var named = stat()
        return fstat(self.descriptor, &locked) == 0 && stat(directory, &named) == 0 && locked.st_ino == named.st_ino
            && locked.st_dev == named.st_dev
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// The few things that a cluster does with files.
enum Files {
    static func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0
    }

    /// The whole file, or nil if there is none or it cannot be read.
    static func contents(of path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        return self.read(file, from: 0)
    }

    static func text(of path: String) -> String? {
        self.contents(of: path).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The last lines of a file that may be long.
    static func tail(of path: String, lines: Int) -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return "" }
        defer { close(file) }
        let size = lseek(file, 0, SEEK_END)
        // A log line is rarely longer than 200 bytes; a window is enough for a tail.
        let window = max(4096, lines * 400)
        guard let bytes = self.read(file, from: max(0, Int(size) - window)) else { return "" }
        let all = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: true)
        return all.suffix(lines).joined(separator: "\n")
    }

    private static func read(_ file: Int32, from offset: Int) -> [UInt8]? {
        guard lseek(file, off_t(offset), SEEK_SET) >= 0 else { return nil }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = buffer.withUnsafeMutableBytes { systemRead(file, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return count == 0 ? bytes : nil }
            bytes.append(contentsOf: buffer[0..<count])
        }
    }

    /// Writes a file whole and gives it to the servers' user; a reader sees the old contents or the new ones.
    static func write(_ contents: [UInt8], to path: String, for user: ServerUser) throws(LocalClusterError) {
        let fresh = path + ".new"
        let file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw self.failure("write", fresh, errno) }
        var rest = contents[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { systemWrite(file, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let reason = errno
                close(file)
                unlink(fresh)
                throw self.failure("write", fresh, reason)
            }
            rest = rest.dropFirst(count)
        }
        if let owner = user.change { _ = fchown(file, owner.user, owner.group) }
        close(file)
        guard rename(fresh, path) == 0 else { throw self.failure("write", path, errno) }
    }

    /// Changes bytes in the midst of a file.
    static func overwrite(_ path: String, at offset: Int, with bytes: [UInt8]) throws(LocalClusterError) {
        let file = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { throw self.failure("change", path, errno) }
        defer { close(file) }
        let count = bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, off_t(offset)) }
        guard count == bytes.count else { throw self.failure("change", path, errno) }
    }

    static func write(_ text: String, to path: String, for user: ServerUser) throws(LocalClusterError) {
        try self.write(Array(text.utf8), to: path, for: user)
    }

    static func makeFolder(_ path: String, for user: ServerUser) throws(LocalClusterError) {
        guard mkdir(path, 0o700) == 0 else { throw self.failure("make the folder", path, errno) }
        if let owner = user.change, chown(path, owner.user, owner.group) != 0 {
            throw self.failure("give away the folder", path, errno)
        }
    }

    /// Whether it was made; false if it was there.
    static func makeFolderIfMissing(_ path: String) throws(LocalClusterError) -> Bool {
        if mkdir(path, 0o755) == 0 { return true }
        var status = stat()
        guard errno == EEXIST, stat(path, &status) == 0 else { throw self.failure("make the folder", path, errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else { throw self.failure("make the folder", path, ENOTDIR) }
        return false
    }

    /// All folders on the way to a path, outermost first, the path itself last.
    static func pathsTo(_ path: String) -> [String] {
        var paths: [String] = []
        var current = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            current += "/" + part
            paths.append(current)
        }
        return paths
    }

    static func removeFile(_ path: String) throws(LocalClusterError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw self.failure("remove", path, errno) }
    }

    /// False if there is something in it, or it is not there.
    static func removeEmptyFolder(_ path: String) -> Bool {
        rmdir(path) == 0
    }

    static func remove(_ path: String) throws(LocalClusterError) {
        let result = testkit_remove(path)
        guard result >= 0 else { throw self.failure("remove", path, -result) }
    }

    /// The path without symbolic links, so that it compares equal to what the kernel says of a process.
    static func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    static func failure(_ verb: String, _ path: String, _ reason: Int32) -> LocalClusterError {
        LocalClusterError(.fileSystem, "Could not \(verb) \(path): \(systemMessage(reason)).")
    }
}

// `read` and `write` are names of this file's own functions too.
private func systemRead(_ file: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(file, buffer, count)
}

private func systemWrite(_ file: Int32, _ buffer: UnsafeRawPointer?, _ count: Int) -> Int {
    write(file, buffer, count)
}

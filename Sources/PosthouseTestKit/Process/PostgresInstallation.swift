// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// The PostgreSQL server programs of this machine.
public struct PostgresInstallation: Sendable, Hashable {
    /// The folder with `postgres`, `initdb` and `pg_basebackup`.
    public let binaryDirectory: String

    /// The programs of one folder.
    ///
    /// - Throws: ``LocalClusterError/Code/installationNotFound`` if one of them is missing.
    public init(binaryDirectory: String) throws(LocalClusterError) {
        for program in ["postgres", "initdb", "pg_basebackup"] {
            guard access("\(binaryDirectory)/\(program)", X_OK) == 0 else {
                throw LocalClusterError(.installationNotFound, "There is no \(program) in \(binaryDirectory).")
            }
        }
        self.binaryDirectory = binaryDirectory
    }

    /// An installation that was there once. Whether it still is shows when a server is to be started.
    init(recorded binaryDirectory: String) {
        self.binaryDirectory = binaryDirectory
    }

    /// The installation that tests use by default.
    ///
    /// Searched in this order: the environment variable `POSTHOUSE_PG_BINDIR` (if set, nothing else is tried), the
    /// folder that `pg_config --bindir` names, `/usr/lib/postgresql/*/bin` (the highest version first),
    /// `/usr/pgsql-*/bin`, then the folders of `PATH`.
    ///
    /// - Throws: ``LocalClusterError/Code/installationNotFound``, with the folders that were tried.
    public static func find() throws(LocalClusterError) -> PostgresInstallation {
        if let asked = environmentVariable("POSTHOUSE_PG_BINDIR") {
            return try PostgresInstallation(binaryDirectory: asked)
        }
        let folders =
            [self.reportedByPgConfig].compactMap { $0 } + self.versioned("/usr/lib/postgresql", suffix: "/bin")
            + self.versioned("/usr", prefix: "pgsql-", suffix: "/bin")
            + (environmentVariable("PATH") ?? "").split(separator: ":").map(String.init)
        for folder in folders {
            if let found = try? PostgresInstallation(binaryDirectory: folder) { return found }
        }
        throw LocalClusterError(
            .installationNotFound,
            "No PostgreSQL server programs found. Install them (Debian: `apt install postgresql`) or set "
                + "POSTHOUSE_PG_BINDIR. Tried: \(folders.joined(separator: ", "))."
        )
    }

    func path(of program: String) -> String {
        "\(self.binaryDirectory)/\(program)"
    }

    private static func versioned(_ parent: String, prefix: String = "", suffix: String) -> [String] {
        guard let folder = opendir(parent) else { return [] }
        defer { closedir(folder) }
        var found: [(version: Double, path: String)] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name.hasPrefix(prefix), let version = Double(name.dropFirst(prefix.count)) else { continue }
            found.append((version, "\(parent)/\(name)\(suffix)"))
        }
        return found.sorted { $0.version > $1.version }.map(\.path)
    }

    /// `pg_config` may be of a client-only package and name a folder without a server: the caller looks.
    private static var reportedByPgConfig: String? {
        guard let pipe = popen("pg_config --bindir 2>/dev/null", "r") else { return nil }
        defer { pclose(pipe) }
        var buffer = [CChar](repeating: 0, count: 4096)
        guard fgets(&buffer, Int32(buffer.count), pipe) != nil else { return nil }
        let bytes = buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }
}

func environmentVariable(_ name: String) -> String? {
    guard let value = getenv(name) else { return nil }
    let text = String(cString: value)
    return text.isEmpty ? nil : text
}

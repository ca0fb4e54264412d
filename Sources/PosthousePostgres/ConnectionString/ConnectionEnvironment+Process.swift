// SPDX-License-Identifier: Apache-2.0
import CLibPQ

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension ConnectionEnvironment {
    /// This process's environment variables, user, files and libpq, as they are now.
    public static var process: ConnectionEnvironment {
        var names = ConnectionKeyword.all.compactMap(\.environmentVariable)
        names += ["HOME", "PGSERVICEFILE", "PGSYSCONFDIR", "PGREQUIRESSL"]
        var variables: [String: String] = [:]
        for name in names {
            if let value = getenv(name) { variables[name] = String(cString: value) }
        }
        let account = account()
        return ConnectionEnvironment(
            variables: variables,
            userName: account?.name,
            homeDirectory: account?.home,
            defaultHost: libpqDefaultHost,
            // libpq does not tell where it was built to look: Debian's place, Fedora's, and PostgreSQL's own.
            systemConfigurationDirectories: [
                "/etc/postgresql-common", "/etc/sysconfig/pgsql", "/usr/local/pgsql/etc",
            ],
            libpqVersion: Int(PQlibVersion()),
            readFile: contents(of:)
        )
    }

    /// The effective user's name and home directory.
    private static func account() -> (name: String, home: String)? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { buffer in
            // The entry points into the buffer; its texts are copied before the buffer goes.
            var entry = passwd()
            var found: UnsafeMutablePointer<passwd>?
            guard let start = buffer.baseAddress,
                getpwuid_r(geteuid(), &entry, start, buffer.count, &found) == 0, found != nil,
                let name = entry.pw_name, let home = entry.pw_dir
            else { return nil }
            return (String(cString: name), String(cString: home))
        }
    }

    /// The host that the installed libpq uses when none is given.
    ///
    /// It is known to libpq alone. A connection with empty host names and an invalid parameter gets as far as filling in the
    /// default, is then refused, and tells it; no socket is opened, and no file read unless `PGSERVICE` is set.
    private static let libpqDefaultHost: String = {
        let parameters = [
            ("host", ","), ("hostaddr", ","), ("port", "5432"), ("user", "-"), ("dbname", "-"), ("password", "-"),
            ("channel_binding", "-"),
        ]
        let keywords = parameters.map { strdup($0.0) } + [nil]
        let values = parameters.map { strdup($0.1) } + [nil]
        defer { (keywords + values).forEach { free($0) } }
        let connection = PQconnectStartParams(keywords.map { UnsafePointer($0) }, values.map { UnsafePointer($0) }, 0)
        defer { PQfinish(connection) }
        guard let host = PQhost(connection), host.pointee != 0 else { return "/var/run/postgresql" }
        return String(cString: host)
    }()

    private static func contents(of path: String) -> ConnectionFile {
        var status = stat()
        guard stat(path, &status) == 0 else { return .missing }
        guard status.st_mode & S_IFMT == S_IFREG else { return .notAFile }

        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .unreadable(reason: reason(errno)) }
        defer { close(descriptor) }
        var contents: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                return .unreadable(reason: reason(errno))
            }
            contents += chunk[..<count]
        }
        return .contents(contents, isOpenToOthers: status.st_mode & (S_IRWXG | S_IRWXO) != 0)
    }

    private static func reason(_ error: Int32) -> String {
        strerror(error).map { String(cString: $0) } ?? "error \(error)"
    }
}

// SPDX-License-Identifier: Apache-2.0

/// What completes connection parameters from outside: environment variables, files, and who runs the process.
///
/// `process` is the real one; tests make their own.
public struct ConnectionEnvironment: Sendable {
    /// Environment variables by name.
    public var variables: [String: String]
    /// The operating system's user, which is the default for `user`.
    public var userName: String?
    /// Where `.pgpass` and `.pg_service.conf` are looked for if `HOME` is not among the variables.
    public var homeDirectory: String?
    /// What no host at all means: libpq's socket directory, or `localhost` where libpq was built without one.
    public var defaultHost: String
    /// Where `pg_service.conf` is looked for, in this order, if `PGSYSCONFDIR` is not among the variables.
    public var systemConfigurationDirectories: [String]
    /// The version of libpq, as `PQlibVersion` gives it (150018 is 15.18): later ones know more parameters.
    public var libpqVersion: Int
    /// Reads a file. It is called when parameters are made, and for the password file at every connection, so that a
    /// changed password is seen; it may block for as long as the file system does.
    public var readFile: @Sendable (_ path: String) -> ConnectionFile

    /// Makes an environment; what is left out is empty, and no file exists.
    public init(
        variables: [String: String] = [:],
        userName: String? = nil,
        homeDirectory: String? = nil,
        defaultHost: String = "/var/run/postgresql",
        systemConfigurationDirectories: [String] = [],
        libpqVersion: Int = 150_000,
        readFile: @escaping @Sendable (_ path: String) -> ConnectionFile = { _ in .missing }
    ) {
        self.variables = variables
        self.userName = userName
        self.homeDirectory = homeDirectory
        self.defaultHost = defaultHost
        self.systemConfigurationDirectories = systemConfigurationDirectories
        self.libpqVersion = libpqVersion
        self.readFile = readFile
    }

    /// `HOME` if it is set and not empty, else the home directory.
    var home: String? {
        if let home = variables["HOME"], !home.isEmpty { return home }
        return homeDirectory
    }
}

extension ConnectionEnvironment: CustomStringConvertible, CustomReflectable {
    /// The names of the variables, without their values: `PGPASSWORD` may be among them.
    public var description: String {
        "ConnectionEnvironment(\(variables.keys.sorted().joined(separator: ", ")))"
    }

    /// As `description`.
    public var customMirror: Mirror {
        Mirror(self, children: ["variables": variables.keys.sorted()], displayStyle: .struct)
    }
}

/// What a path holds.
@nonexhaustive
public enum ConnectionFile: Sendable, Hashable {
    /// Nothing is there, or nothing that may be looked at.
    case missing
    /// Something is there that is not a plain file.
    case notAFile
    /// A file that cannot be read, and why.
    case unreadable(reason: String)
    /// A file's bytes, and whether its group or all users may read, write or execute it.
    case contents([UInt8], isOpenToOthers: Bool)
}

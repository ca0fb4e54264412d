// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres

extension ConnectionEnvironment {
    /// A user, a home, and nothing else but what the test says.
    static func testing(
        _ variables: [String: String] = [:],
        files: [String: ConnectionFile] = [:],
        libpqVersion: Int = 150_018
    ) -> ConnectionEnvironment {
        ConnectionEnvironment(
            variables: variables,
            userName: "osuser",
            homeDirectory: "/home/osuser",
            defaultHost: "/run/pg",
            systemConfigurationDirectories: ["/etc/pg"],
            libpqVersion: libpqVersion,
            readFile: { files[$0] ?? .missing }
        )
    }
}

extension ConnectionFile {
    static func text(_ text: String, isOpenToOthers: Bool = false) -> ConnectionFile {
        .contents(Array(text.utf8), isOpenToOthers: isOpenToOthers)
    }
}

/// The error that parameters of this connection string end in, if they do.
func connectionStringError(
    _ text: String,
    _ environment: ConnectionEnvironment = .testing()
) -> ConnectionStringError? {
    do {
        _ = try ConnectionParameters(text, environment: environment)
        return nil
    } catch {
        return error
    }
}

func connectionStringError(
    _ options: ConnectionOptions,
    _ environment: ConnectionEnvironment = .testing()
) -> ConnectionStringError? {
    do {
        _ = try ConnectionParameters(options, environment: environment)
        return nil
    } catch {
        return error
    }
}

extension ConnectionParameters {
    /// The given settings by keyword.
    var given: [String: String] {
        Dictionary(uniqueKeysWithValues: settings.map { ($0.keyword, $0.value) })
    }

    /// What libpq would be given for the first host, by keyword.
    var libpq: [String: String] {
        Dictionary(uniqueKeysWithValues: libpqParameters(for: hosts[0], address: nil).map { ($0.keyword, $0.value) })
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import Foundation

/// Where one Patroni is asked. User and password are kept apart from what is shown and logged.
struct PatroniURL: Sendable {
    /// The whole URL of `GET /cluster`, without user and password.
    let cluster: String
    /// "host:port", for errors.
    let name: String
    let headers: [(name: String, value: String)]

    /// - Parameter text: For example `https://patroni1:8008`, or `https://user:password@gateway/patroni`.
    init(_ text: String) throws(PatroniError) {
        guard var parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(),
            ["http", "https"].contains(scheme), let host = parts.host, !host.isEmpty, parts.query == nil,
            parts.fragment == nil
        else {
            throw PatroniError(
                .invalidURL,
                "A URL of Patroni is \"http\" or \"https\", a host, a port and perhaps a path, as in https://db1:8008."
            )
        }
        if let user = parts.user {
            let login = Data("\(user):\(parts.password ?? "")".utf8).base64EncodedString()
            headers = [(name: "Authorization", value: "Basic \(login)")]
        } else {
            headers = []
        }
        parts.user = nil
        parts.password = nil
        while parts.path.hasSuffix("/") { parts.path.removeLast() }
        parts.path += "/cluster"
        name = parts.port.map { "\(host):\($0)" } ?? host
        guard let cluster = parts.string else {
            throw PatroniError(.invalidURL, "The URL of the Patroni at \(name) cannot be used.")
        }
        self.cluster = cluster
    }
}

// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension ConnectionParameters {
    /// What to give to `PQconnectStartParams` (with `expand_dbname` 0) for one host at one address. The values hold the
    /// password in the clear.
    ///
    /// One host, always: libpq's own list of hosts is not used. `host` stays the name, because TLS verifies it, and `hostaddr`
    /// is what it was resolved to. libpq completes what is missing from the process's environment, so nothing is missing that
    /// could redirect it:
    ///
    /// - `target_session_attrs` is `any`, against `PGTARGETSESSIONATTRS`: Posthouse chooses the host.
    /// - Without a password, `passfile` is a path that cannot exist: the file was read already, and libpq would print to
    ///   stderr what `notices` tells.
    /// - `connect_timeout` and `load_balance_hosts` are left out; libpq's non-blocking calls do not heed the first.
    /// - A keep-alive or TCP timeout of zero is left out. libpq documents that it means the system's value, and then asks
    ///   the system for zero, which Linux refuses.
    ///
    /// Reads the password file if no password was given.
    /// - Parameter address: the numeric address to connect to; nil for a Unix-domain socket, or to use `hostaddr` if it was
    ///   given and have libpq resolve the name, blocking, if it was not.
    public func libpqParameters(
        for endpoint: HostEndpoint,
        address: String?
    ) -> [(keyword: String, value: String)] {
        var parameters = [(keyword: "host", value: endpoint.host)]
        if let address = address ?? endpoint.hostAddress { parameters.append(("hostaddr", address)) }
        parameters.append(("port", String(endpoint.port)))
        parameters.append(("user", user))
        parameters.append(("dbname", dbname))
        if let password = password(for: endpoint).password {
            parameters.append(("password", password.revealed))
        } else {
            parameters.append(("passfile", "/dev/null/none"))
        }
        parameters.append(("target_session_attrs", TargetSessionAttributes.any.rawValue))
        if table["keepalives_idle"] == nil { parameters.append(("keepalives_idle", Self.defaultKeepalivesIdle)) }

        // libpq would take what is not given here from the service that its environment names.
        if let service = table.text("service"), getenv("PGSERVICE") != nil { parameters.append(("service", service)) }

        for keyword in ConnectionKeyword.all where !Self.handled.contains(keyword.name) {
            guard let value = table.text(keyword.name) else { continue }
            if Self.zeroMeansDefault.contains(keyword.name), WholeNumber.parse(value) == 0 { continue }
            parameters.append((keyword.name, value))
        }
        return parameters
    }

    /// Two hours, in seconds; the value that most systems have, too.
    private static let defaultKeepalivesIdle = "7200"

    /// Given above for one host, or done by Posthouse.
    private static let handled: Set = [
        "service", "servicefile", "host", "hostaddr", "port", "user", "dbname", "password", "passfile",
        "connect_timeout",
        "target_session_attrs", "load_balance_hosts",
    ]

    private static let zeroMeansDefault: Set = [
        "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
    ]
}

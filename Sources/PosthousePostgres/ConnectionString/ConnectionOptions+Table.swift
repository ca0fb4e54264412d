// SPDX-License-Identifier: Apache-2.0

extension ConnectionOptions {
    /// Writes the options into a table as libpq spells them, over what the connection string says; the names of those that
    /// are ignored because there is one.
    func apply(to table: inout ParameterTable) throws(ConnectionStringError) -> [String] {
        let ignored = try applyIdentity(to: &table)

        try set("options", options, label: "options", in: &table)
        try set("application_name", applicationName, label: "applicationName", in: &table)
        try set("connect_timeout", connectTimeout, perSecond: 1, label: "connectTimeout", in: &table)
        try set("tcp_user_timeout", tcpUserTimeout, perSecond: 1000, label: "tcpUserTimeout", in: &table)
        try set("keepalives", keepalives.map { $0 ? "1" : "0" }, label: "keepalives", in: &table)
        try set("keepalives_idle", keepalivesIdle, perSecond: 1, label: "keepalivesIdle", in: &table)
        try set("keepalives_interval", keepalivesInterval, perSecond: 1, label: "keepalivesInterval", in: &table)
        try set("keepalives_count", keepalivesRetries.map(String.init), label: "keepalivesRetries", in: &table)
        try set("load_balance_hosts", loadBalanceHosts?.rawValue, label: "loadBalanceHosts", in: &table)
        try set("sslmode", sslMode?.rawValue, label: "sslMode", in: &table)
        try set("sslrootcert", caFile, label: "caFile", in: &table)
        return ignored
    }

    private func applyIdentity(to table: inout ParameterTable) throws(ConnectionStringError) -> [String] {
        let allHosts = hosts + (host.map { [$0] } ?? [])
        let allPorts = ports + (port.map { [$0] } ?? [])
        guard dsn == nil else {
            let given: [(String, Bool)] = [
                ("username", username != nil), ("password", password != nil), ("host", host != nil),
                ("hosts", !hosts.isEmpty), ("port", port != nil), ("ports", !ports.isEmpty), ("dbName", dbName != nil),
                ("targetSessionAttrs", targetSessionAttrs != nil),
            ]
            return given.filter(\.1).map(\.0)
        }

        try set("user", username, label: "username", in: &table)
        try set("password", password, label: "password", mayBeEmpty: true, in: &table)
        try set("dbname", dbName, label: "dbName", in: &table)
        try set("target_session_attrs", targetSessionAttrs?.rawValue, label: "targetSessionAttrs", in: &table)
        if !allHosts.isEmpty {
            let label = hosts.isEmpty ? "host" : "hosts"
            for host in allHosts where host.isEmpty || host.utf8.contains(UInt8(ascii: ",")) {
                throw ConnectionStringError(
                    .invalidHost,
                    "a host in \(label) is empty or holds a comma; give every host as an element of its own",
                    parameter: label
                )
            }
            try set("host", allHosts.joined(separator: ","), label: label, in: &table)
        }
        if !allPorts.isEmpty {
            let label = ports.isEmpty ? "port" : "ports"
            try set("port", allPorts.map(String.init).joined(separator: ","), label: label, in: &table)
        }
        return []
    }

    private func set(
        _ keyword: String,
        _ value: String?,
        label: String,
        mayBeEmpty: Bool = false,
        in table: inout ParameterTable
    ) throws(ConnectionStringError) {
        guard let value else { return }
        guard mayBeEmpty || !value.isEmpty else {
            throw ConnectionStringError(
                .invalidValue,
                "the parameter \(label) is empty; leave it out (nil) to get its default",
                parameter: label
            )
        }
        guard !value.utf8.contains(0) else {
            throw ConnectionStringError(
                .invalidText,
                "the parameter \(label) holds a NUL byte, which libpq cannot carry; remove it",
                parameter: label
            )
        }
        table.set(keyword, value, from: .option(label))
    }

    private func set(
        _ keyword: String,
        _ duration: Duration?,
        perSecond: Int64,
        label: String,
        in table: inout ParameterTable
    ) throws(ConnectionStringError) {
        guard let duration else { return }
        guard duration >= .zero, let count = duration.count(perSecond: perSecond) else {
            throw ConnectionStringError(
                .invalidValue,
                "the parameter \(label) is \(duration), and must be between 0 and \(Duration.seconds(Int64(Int32.max) / perSecond)); give zero or "
                    + "leave it out (nil) to get the default",
                parameter: label
            )
        }
        table.set(keyword, String(count), from: .option(label))
    }
}

extension Duration {
    /// How many units, of which a second has so many, cover the duration; nil if 32 bits cannot hold it.
    fileprivate func count(perSecond: Int64) -> Int32? {
        let (seconds, attoseconds) = components
        guard seconds <= Int64(Int32.max) else { return nil }
        let unit = 1_000_000_000_000_000_000 / perSecond
        return Int32(exactly: seconds * perSecond + (attoseconds + unit - 1) / unit)
    }
}

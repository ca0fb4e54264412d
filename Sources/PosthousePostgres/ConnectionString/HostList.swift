// SPDX-License-Identifier: Apache-2.0

/// Makes endpoints of libpq's three lists: `host`, `hostaddr` and `port`.
///
/// Deviations from libpq: a port on the last host only (`a,b,c:6432`) is every host's port, where libpq gives it to that
/// host alone; an endpoint that was listed before is left out; an empty element in a list of several hosts is an error,
/// where libpq would connect to this machine; so is a host that cannot be one.
struct HostList {
    /// - Parameter defaultHost: what no host at all means.
    static func endpoints(
        from table: ParameterTable,
        defaultHost: String
    ) throws(ConnectionStringError) -> [HostEndpoint] {
        let hosts = table.text("host").map(elements(of:))
        let addresses = table.text("hostaddr").map(elements(of:))
        let count = addresses?.count ?? hosts?.count ?? 1
        if let hosts, hosts.count != count {
            throw ConnectionStringError(
                .countMismatch,
                "there are \(hosts.count) hosts and \(count) addresses in \"hostaddr\"; give each host one address",
                parameter: "hostaddr"
            )
        }
        let ports = try ports(from: table, count: count)

        var endpoints: [HostEndpoint] = []
        endpoints.reserveCapacity(count)
        var seen: Set<HostEndpoint> = []
        for index in 0..<count {
            let address = addresses?[index] ?? ""
            if !address.isEmpty { try check(address: address, origin: table["hostaddr"]?.origin) }
            var host = hosts?[index] ?? ""
            if host.isEmpty {
                host = address
            } else {
                try check(host: host, origin: table["host"]?.origin)
            }
            if host.isEmpty {
                guard count == 1 else {
                    throw ConnectionStringError(
                        .invalidHost,
                        "host \(index + 1) of \(count) is empty; remove the surplus comma or name the host",
                        parameter: "host"
                    )
                }
                host = defaultHost
            }
            let endpoint = HostEndpoint(host: host, hostAddress: address.isEmpty ? nil : address, port: ports[index])
            if seen.insert(endpoint).inserted { endpoints.append(endpoint) }
        }
        return endpoints
    }

    private static func ports(from table: ParameterTable, count: Int) throws(ConnectionStringError) -> [Int] {
        guard let list = table.text("port") else {
            return Array(repeating: HostEndpoint.defaultPort, count: count)
        }
        var ports: [Int?] = []
        for element in elements(of: list) {
            guard !element.isEmpty else {
                ports.append(nil)
                continue
            }
            guard let port = number(ofPort: element) else {
                throw ConnectionStringError(
                    .invalidPort,
                    "the port \"\(element)\"\(from(table["port"]?.origin)) is not a number from 1 to 65535",
                    parameter: "port"
                )
            }
            ports.append(port)
        }
        if ports.count == 1 { ports = Array(repeating: ports[0], count: count) }
        guard ports.count == count else {
            throw ConnectionStringError(
                .countMismatch,
                "there are \(ports.count) ports and \(count) \(count == 1 ? "host" : "hosts"); give one port for all hosts, "
                    + "or one for each",
                parameter: "port"
            )
        }
        if let last = ports.last, let last, ports.dropLast().allSatisfy({ $0 == nil }) {
            return Array(repeating: last, count: count)
        }
        return ports.map { $0 ?? HostEndpoint.defaultPort }
    }

    // MARK: Elements

    /// Splits at commas; there is always at least one element, which may be empty.
    static func elements(of list: String) -> [String] {
        list.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map { String(Substring($0)) }
    }

    /// The number if it is a port's. As with C's `strtol`, blanks around it and a sign do not matter.
    static func number(ofPort text: String) -> Int? {
        guard let number = WholeNumber.parse(text), (1...65535).contains(number) else { return nil }
        return number
    }

    private static func check(host: String, origin: ParameterTable.Origin?) throws(ConnectionStringError) {
        if HostEndpoint.isSocketDirectory(host) { return }
        let colons = host.utf8.count { $0 == UInt8(ascii: ":") }
        let hint: String
        if colons == 1 {
            hint = "give the port as the parameter \"port\""
        } else if host.utf8.contains(UInt8(ascii: "[")) || host.utf8.contains(UInt8(ascii: "]")) {
            hint = "outside a URI an IPv6 address stands without brackets"
        } else if host.utf8.contains(where: isForbiddenInHost) {
            hint = "a host is a name, an address or a directory that begins with \"/\""
        } else {
            return
        }
        throw ConnectionStringError(
            .invalidHost,
            "the host \"\(printable(host))\"\(from(origin)) cannot be one; \(hint)",
            parameter: "host"
        )
    }

    /// What no host name or address holds: control characters, blanks and the delimiters of URIs. Its presence shows text
    /// that went to the wrong place, as when a name is followed by a blank and the rest of a sentence.
    private static func isForbiddenInHost(_ byte: UInt8) -> Bool {
        byte <= 0x20 || byte == 0x7F || "/\\@?#=&'\"<>".utf8.contains(byte)
    }

    private static func check(address: String, origin: ParameterTable.Origin?) throws(ConnectionStringError) {
        guard NumericAddress.isValid(address) else {
            throw ConnectionStringError(
                .invalidHost,
                "the address \"\(printable(address))\"\(from(origin)) in \"hostaddr\" is not a numeric IPv4 or IPv6 "
                    + "address; give names in \"host\"",
                parameter: "hostaddr"
            )
        }
    }

    /// The text up to what a host cannot hold, in case that belongs to another parameter.
    private static func printable(_ text: String) -> String {
        String(
            decoding: text.utf8.prefix(100).prefix { $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "=") },
            as: UTF8.self
        )
    }

    private static func from(_ origin: ParameterTable.Origin?) -> String {
        guard let origin, origin != .connectionString else { return "" }
        return " (from \(origin))"
    }
}

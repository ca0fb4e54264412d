// SPDX-License-Identifier: Apache-2.0

/// One place where a server may listen: a host and a port, or a socket directory and a port.
public struct HostEndpoint: Sendable, Hashable {
    /// The host name, the address, or the socket directory, as it was written (without IPv6 brackets). If only
    /// `hostaddr` was given, this is the address.
    public let host: String
    /// The address to use instead of resolving the name, from libpq's `hostaddr`.
    public let hostAddress: String?
    /// The port, from 1 to 65535. For a socket directory it is part of the socket's file name.
    public let port: Int

    /// Makes an endpoint.
    public init(host: String, hostAddress: String? = nil, port: Int = HostEndpoint.defaultPort) {
        self.host = host
        self.hostAddress = hostAddress
        self.port = port
    }

    /// PostgreSQL's port, 5432.
    public static let defaultPort = 5432

    /// Whether the connection goes through a Unix-domain socket: the host is a directory (or, with `@`, an abstract
    /// name) and no address overrides it.
    public var isUnixSocket: Bool {
        hostAddress == nil && HostEndpoint.isSocketDirectory(host)
    }

    /// libpq's rule: an absolute path, or `@` for Linux's abstract namespace.
    static func isSocketDirectory(_ host: String) -> Bool {
        host.utf8.first == UInt8(ascii: "/") || host.utf8.first == UInt8(ascii: "@")
    }
}

extension HostEndpoint: CustomStringConvertible {
    /// `host:port`, with IPv6 addresses in brackets; `host(address):port` if an address was given beside the name, because
    /// several servers may share a name.
    public var description: String {
        if let hostAddress, hostAddress != host { return "\(host)(\(hostAddress)):\(port)" }
        let isIPv6 = !HostEndpoint.isSocketDirectory(host) && host.utf8.contains(UInt8(ascii: ":"))
        return isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

// SPDX-License-Identifier: Apache-2.0

/// A parameter that was given somewhere, and where. Secrets show as `***`.
public struct ConnectionSetting: Sendable, Hashable {
    /// libpq's name for the parameter.
    public let keyword: String
    /// The value as libpq spells it, or `***`.
    public let value: String
    /// Where it was given, in words: `the environment variable PGUSER`.
    public let origin: String
}

extension ConnectionParameters {
    /// Everything that was given, by the connection string, options, a service or the environment, in libpq's order;
    /// defaults are not among it.
    public var settings: [ConnectionSetting] {
        ConnectionKeyword.all.compactMap { keyword in
            table[keyword.name].map { entry in
                ConnectionSetting(
                    keyword: keyword.name,
                    value: keyword.isSecret ? "***" : entry.value.revealed,
                    origin: entry.origin.description
                )
            }
        }
    }
}

extension ConnectionParameters: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// A normalised URI with every host's port, and with `***` for secrets.
    public var description: String {
        var authority = PercentEncoding.encode(user)
        if password != nil { authority += ":***" }
        authority += "@"
        authority += hosts.map { endpoint in
            let isIPv6 =
                !HostEndpoint.isSocketDirectory(endpoint.host) && endpoint.host.utf8.contains(UInt8(ascii: ":"))
            let host = PercentEncoding.encode(endpoint.host, keepingColons: isIPv6)
            return (isIPv6 ? "[\(host)]" : host) + ":\(endpoint.port)"
        }
        .joined(separator: ",")

        var query: [String] = []
        if hosts.contains(where: { $0.hostAddress != nil }) {
            let addresses = hosts.map { PercentEncoding.encode($0.hostAddress ?? "", keepingColons: true) }
            query.append("hostaddr=" + addresses.joined(separator: ","))
        }
        for setting in settings where !Self.shownInAuthority.contains(setting.keyword) {
            let value = setting.value == "***" ? "***" : PercentEncoding.encode(setting.value)
            query.append("\(setting.keyword)=\(value)")
        }
        let suffix = query.isEmpty ? "" : "?" + query.joined(separator: "&")
        return "postgresql://\(authority)/\(PercentEncoding.encode(dbname))\(suffix)"
    }

    /// As `description`.
    public var debugDescription: String { description }

    /// The typed parameters and the settings, secrets as `***`.
    public var customMirror: Mirror {
        Mirror(
            self,
            children: [
                "hosts": hosts, "user": user, "dbname": dbname,
                "password": password as Any, "settings": settings, "notices": notices,
            ],
            displayStyle: .struct
        )
    }

    private static let shownInAuthority: Set = ["user", "password", "host", "hostaddr", "port", "dbname"]
}

/// Writes text so that it stands in a URI.
enum PercentEncoding {
    /// Encodes all but RFC 3986's unreserved characters.
    static func encode(_ text: String, keepingColons: Bool = false) -> String {
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                encoded.unicodeScalars.append(Unicode.Scalar(byte))
            case UInt8(ascii: ":") where keepingColons:
                encoded += ":"
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                encoded += digits.utf8.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return encoded
    }
}

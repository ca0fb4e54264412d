// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres

/// Connection parameters, for people and for programs.
struct DSNExplanation {
    private let parameters: ConnectionParameters

    init(_ parameters: ConnectionParameters) {
        self.parameters = parameters
    }

    var notices: [ConnectionNotice] { parameters.notices }

    /// One object; `password` is `***` if a password is given, by the string, a service or the environment, else null.
    var json: JSONValue {
        let hosts = parameters.hosts.map { endpoint -> JSONValue in
            [
                "host": .string(endpoint.host),
                "hostaddr": .optional(endpoint.hostAddress),
                "port": .integer(Int64(endpoint.port)),
            ]
        }
        let others = otherSettings.map { ($0.keyword, JSONValue.string($0.value)) }
        return .document([
            "hosts": .array(hosts),
            "user": .string(parameters.user),
            "dbname": .string(parameters.dbname),
            "password": .optional(parameters.password?.description),
            "parameters": .object(Dictionary(uniqueKeysWithValues: others)),
        ])
    }

    /// A row for each host and each parameter, with where it comes from.
    var table: TextTable {
        var table = TextTable("PARAMETER", "VALUE", "FROM")
        for endpoint in parameters.hosts {
            let host = HostEndpoint(host: endpoint.host, port: endpoint.port)
            table.append("host", host.description, origin(of: "host", "hostaddr", "port"))
            if let address = endpoint.hostAddress, address != endpoint.host {
                table.append("  hostaddr", address, origin(of: "hostaddr"))
            }
        }
        table.append("user", parameters.user, origin(of: "user"))
        table.append("dbname", parameters.dbname, origin(of: "dbname"))
        let password = passwordRow
        table.append("password", password.value, password.origin)
        for setting in otherSettings {
            table.append(setting.keyword, setting.value, setting.origin)
        }
        return table
    }

    private static let ownRows: Set = ["host", "hostaddr", "port", "user", "dbname", "password"]

    private var otherSettings: [ConnectionSetting] {
        parameters.settings.filter { !Self.ownRows.contains($0.keyword) }
    }

    private var passwordRow: (value: String, origin: String) {
        if let password = parameters.password { return (password.description, origin(of: "password")) }
        let found = parameters.hosts.count { parameters.password(for: $0).password != nil }
        if found == 0 { return ("none", "the default") }
        return (found == parameters.hosts.count ? "***" : "*** for \(found) hosts", "the password file")
    }

    private func origin(of keywords: String...) -> String {
        for setting in parameters.settings where keywords.contains(setting.keyword) && !setting.value.isEmpty {
            return setting.origin
        }
        return "the default"
    }
}

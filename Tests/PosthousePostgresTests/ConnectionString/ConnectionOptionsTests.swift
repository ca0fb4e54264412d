// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres
import Testing

@Suite struct ConnectionOptionsTests {
    @Test func everyOptionTakesEffect() throws {
        let options = ConnectionOptions(
            username: "u",
            password: "pw",
            host: "last",
            hosts: ["first", "second"],
            port: 3,
            ports: [1, 2],
            dbName: "d",
            targetSessionAttrs: .preferStandby,
            options: "-c geqo=off",
            applicationName: "app",
            connectTimeout: .milliseconds(1500),
            tcpUserTimeout: .microseconds(1500),
            keepalives: true,
            keepalivesIdle: .milliseconds(30_001),
            keepalivesInterval: .seconds(10),
            keepalivesRetries: 3,
            loadBalanceHosts: .random,
            sslMode: .verifyFull,
            caFile: "/ca.pem"
        )
        let parameters = try ConnectionParameters(options, environment: .testing())
        #expect(parameters.user == "u")
        #expect(parameters.password?.revealed == "pw")
        #expect(parameters.hosts.map(\.description) == ["first:1", "second:2", "last:3"])
        #expect(parameters.dbname == "d")
        #expect(parameters.targetSessionAttributes == .preferStandby)
        #expect(parameters.applicationName == "app")
        #expect(parameters.connectTimeout == .milliseconds(1500))
        #expect(parameters.loadBalanceHosts == .random)
        #expect(parameters.sslmode == .verifyFull)
        #expect(parameters.notices.isEmpty)
        #expect(
            parameters.libpq == [
                "host": "first", "port": "1", "user": "u", "dbname": "d", "password": "pw",
                "target_session_attrs": "any",
                "options": "-c geqo=off", "application_name": "app", "tcp_user_timeout": "2", "keepalives": "1",
                "keepalives_idle": "31", "keepalives_interval": "10", "keepalives_count": "3", "sslmode": "verify-full",
                "sslrootcert": "/ca.pem",
            ]
        )
    }

    @Test func whatIsLeftOutHasItsDefault() throws {
        let parameters = try ConnectionParameters(ConnectionOptions(), environment: .testing())
        #expect(parameters.hosts == [HostEndpoint(host: "/run/pg", port: 5432)])
        #expect(parameters.targetSessionAttributes == .any)
        #expect(parameters.connectTimeout == nil)
        #expect(parameters.loadBalanceHosts == .disable)
        #expect(parameters.sslmode == .prefer)
        #expect(parameters.libpq["keepalives_idle"] == "7200")
        #expect(parameters.libpq["keepalives"] == nil)
        #expect(parameters.settings.isEmpty)
    }

    @Test func aConnectionStringSaysWhomAndOptionsSayHow() throws {
        let options = ConnectionOptions(
            dsn:
                "postgres://u:pw@h:1/d?application_name=dsn&connect_timeout=3&target_session_attrs=primary&keepalives_idle=5",
            username: "x",
            password: "secret",
            host: "x",
            hosts: ["y"],
            port: 2,
            ports: [3],
            dbName: "x",
            targetSessionAttrs: .standby,
            applicationName: "option",
            connectTimeout: .seconds(4)
        )
        let parameters = try ConnectionParameters(options, environment: .testing())
        #expect(parameters.user == "u")
        #expect(parameters.password?.revealed == "pw")
        #expect(parameters.hosts.map(\.description) == ["h:1"])
        #expect(parameters.dbname == "d")
        #expect(parameters.targetSessionAttributes == .primary)
        #expect(parameters.applicationName == "option")
        #expect(parameters.connectTimeout == .seconds(4))
        #expect(parameters.libpq["keepalives_idle"] == "5")
        #expect(parameters.notices.map(\.code) == [.ignoredParameters])
        let message = parameters.notices[0].message
        for name in ["username", "password", "host", "hosts", "port", "ports", "dbName", "targetSessionAttrs"] {
            #expect(message.contains(name))
        }
        #expect(!message.contains("secret"))
    }

    @Test(
        arguments: [
            (["a", "b"], nil, [1], nil, ["a:1", "b:1"]),
            (["a", "b"], nil, [1, 2], nil, ["a:1", "b:2"]),
            (["a", "b"], nil, [], 7, ["a:7", "b:7"]),
            (["a"], "b", [1], 2, ["a:1", "b:2"]),
            ([], "a", [], 7, ["a:7"]),
            (["a", "b"], nil, [], nil, ["a:5432", "b:5432"]),
        ] as [([String], String?, [Int], Int?, [String])]
    )
    func portsAreOneForAllOrOneForEach(
        hosts: [String],
        host: String?,
        ports: [Int],
        port: Int?,
        expected: [String]
    ) throws {
        let options = ConnectionOptions(host: host, hosts: hosts, port: port, ports: ports)
        #expect(try ConnectionParameters(options, environment: .testing()).hosts.map(\.description) == expected)
    }

    @Test(arguments: [
        (ConnectionOptions(hosts: ["a", "b"], ports: [1, 2, 3]), ConnectionStringError.Code.countMismatch),
        (ConnectionOptions(hosts: ["a", "b", "c"], ports: [1, 2]), .countMismatch),
        (ConnectionOptions(host: "a", port: 0), .invalidPort),
        (ConnectionOptions(host: "a", port: 65_536), .invalidPort),
        (ConnectionOptions(host: "a", port: -1), .invalidPort),
        (ConnectionOptions(host: ""), .invalidHost),
        (ConnectionOptions(hosts: ["a", ""]), .invalidHost),
        (ConnectionOptions(hosts: ["a,b"]), .invalidHost),
        (ConnectionOptions(username: ""), .invalidValue),
        (ConnectionOptions(dbName: ""), .invalidValue),
        (ConnectionOptions(password: "a\0b"), .invalidText),
        (ConnectionOptions(applicationName: "a\0b"), .invalidText),
        (ConnectionOptions(connectTimeout: .milliseconds(-1)), .invalidValue),
        (ConnectionOptions(tcpUserTimeout: .nanoseconds(-1)), .invalidValue),
        (ConnectionOptions(keepalivesIdle: .seconds(-1)), .invalidValue),
        (ConnectionOptions(keepalivesInterval: .seconds(-1)), .invalidValue),
        (ConnectionOptions(keepalivesRetries: -1), .invalidValue),
        (ConnectionOptions(tcpUserTimeout: .seconds(Int64.max)), .invalidValue),
        (ConnectionOptions(keepalivesIdle: .seconds(2_147_483_647.5)), .invalidValue),
    ])
    func whatCannotBeIsATypedError(options: ConnectionOptions, code: ConnectionStringError.Code) throws {
        let error = try #require(connectionStringError(options))
        #expect(error.code == code, "\(error)")
    }

    @Test func durationsAreRoundedUpToWhatTheSystemTakes() throws {
        func libpq(_ options: ConnectionOptions) throws -> [String: String] {
            try ConnectionParameters(options, environment: .testing()).libpq
        }
        #expect(try libpq(ConnectionOptions(keepalivesIdle: .nanoseconds(1)))["keepalives_idle"] == "1")
        #expect(try libpq(ConnectionOptions(keepalivesIdle: .seconds(2)))["keepalives_idle"] == "2")
        #expect(try libpq(ConnectionOptions(keepalivesInterval: .milliseconds(2001)))["keepalives_interval"] == "3")
        #expect(try libpq(ConnectionOptions(tcpUserTimeout: .microseconds(1)))["tcp_user_timeout"] == "1")
        #expect(try libpq(ConnectionOptions(tcpUserTimeout: .milliseconds(2500)))["tcp_user_timeout"] == "2500")
        #expect(
            try libpq(ConnectionOptions(tcpUserTimeout: .milliseconds(2_147_483_647)))["tcp_user_timeout"]
                == "2147483647"
        )
    }

    @Test func zeroMeansTheSystemsDefault() throws {
        let zero = ConnectionOptions(
            connectTimeout: .zero,
            tcpUserTimeout: .zero,
            keepalivesIdle: .zero,
            keepalivesInterval: .zero,
            keepalivesRetries: 0
        )
        let parameters = try ConnectionParameters(zero, environment: .testing())
        #expect(parameters.connectTimeout == nil)
        for keyword in ["tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count"] {
            #expect(parameters.libpq[keyword] == nil)
        }
        let off = try ConnectionParameters(ConnectionOptions(keepalives: false), environment: .testing())
        #expect(off.libpq["keepalives"] == "0")
    }

    @Test(arguments: TargetSessionAttributes.allCases)
    func everyTargetSessionAttributeIsKnownByLibPQsName(_ attributes: TargetSessionAttributes) throws {
        let name = attributes.rawValue
        #expect(["any", "read-write", "read-only", "primary", "standby", "prefer-standby"].contains(name))
        let parameters = try ConnectionParameters("target_session_attrs=\(name)", environment: .testing())
        #expect(parameters.targetSessionAttributes == attributes)
        #expect(parameters.libpq["target_session_attrs"] == "any")
    }
}

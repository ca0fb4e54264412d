// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres
import Testing

@Suite struct ConnectionURITests {
    /// A URI and what it gives: `user|password|host list|database|other settings`.
    struct Case: Sendable, CustomTestStringConvertible {
        let uri: String
        let user: String
        let password: String?
        let hosts: [String]
        let dbname: String
        let others: [String: String]

        init(
            _ uri: String,
            user: String = "osuser",
            password: String? = nil,
            hosts: [String] = ["/run/pg:5432"],
            dbname: String? = nil,
            _ others: [String: String] = [:]
        ) {
            self.uri = uri
            self.user = user
            self.password = password
            self.hosts = hosts
            self.dbname = dbname ?? user
            self.others = others
        }

        var testDescription: String { uri }
    }

    static let cases = [
        Case("postgresql://"),
        Case("postgres://"),
        Case("postgres:///"),
        Case("postgres:///db", dbname: "db"),
        Case("postgresql://host", hosts: ["host:5432"]),
        Case("postgresql://host/", hosts: ["host:5432"]),
        Case("postgresql://host?", hosts: ["host:5432"]),
        Case("postgresql://host:12345", hosts: ["host:12345"]),
        Case("postgresql://host:/", hosts: ["host:5432"]),
        Case("postgresql://:12345/", hosts: ["/run/pg:12345"]),
        Case("postgresql://host:12345/db", hosts: ["host:12345"], dbname: "db"),
        Case("postgresql://user@localhost", user: "user", hosts: ["localhost:5432"]),
        Case("postgresql://uri-user@host:12345/db", user: "uri-user", hosts: ["host:12345"], dbname: "db"),
        Case(
            "postgresql://uri-user:secret@host:12345/db",
            user: "uri-user",
            password: "secret",
            hosts: ["host:12345"],
            dbname: "db"
        ),
        Case("postgresql://uri-user@", user: "uri-user"),
        Case("postgres://uri-user@/db", user: "uri-user", dbname: "db"),
        Case("postgres://@host", hosts: ["host:5432"]),
        Case("postgres://:pw@host", password: "pw", hosts: ["host:5432"]),
        Case("postgres://user:@host", user: "user", hosts: ["host:5432"]),
        Case("postgres://user:a:b@host", user: "user", password: "a:b", hosts: ["host:5432"]),
        Case("postgres://user:a?b@host", user: "user", password: "a?b", hosts: ["host:5432"]),
        Case("postgresql://?hostaddr=127.0.0.1", hosts: ["127.0.0.1:5432"], ["hostaddr": "127.0.0.1"]),
        Case("postgresql://a.b?hostaddr=63.1.2.4", hosts: ["a.b(63.1.2.4):5432"], ["hostaddr": "63.1.2.4"]),
        Case("postgresql://host/db?user=uri-user", user: "uri-user", hosts: ["host:5432"], dbname: "db"),
        Case("postgresql://host/db?u%73er=x&port=12345", user: "x", hosts: ["host:12345"], dbname: "db"),
        Case("postgresql://a@host:1/db?user=b&port=2&dbname=c&host=h", user: "b", hosts: ["h:2"], dbname: "c"),
        Case("postgres://?host=/path/to/socket/dir", hosts: ["/path/to/socket/dir:5432"]),
        Case("postgres://u@:12345/db?host=/sock", user: "u", hosts: ["/sock:12345"], dbname: "db"),
        Case(
            "postgresql:///mydb?user=user&host=/var/lib/postgresql",
            user: "user",
            hosts: ["/var/lib/postgresql:5432"],
            dbname: "mydb"
        ),
        Case("postgres://%2Fvar%2Flib%2Fpostgresql/dbname", hosts: ["/var/lib/postgresql:5432"], dbname: "dbname"),
        Case("postgres://%2fvar%2frun:6432,%2ftmp:6433/", hosts: ["/var/run:6432", "/tmp:6433"]),
        Case("postgres://%40abstract/", hosts: ["@abstract:5432"]),
        Case(
            "postgresql://user:password@%2Fvar%2Flib%2Fpostgresql/mydb?connect_timeout=10",
            user: "user",
            password: "password",
            hosts: ["/var/lib/postgresql:5432"],
            dbname: "mydb",
            ["connect_timeout": "10"]
        ),
        Case(
            "postgresql://user@host1:1234,host2,host3:5678?target_session_attrs=read-write",
            user: "user",
            hosts: ["host1:1234", "host2:5432", "host3:5678"],
            ["target_session_attrs": "read-write"]
        ),
        Case("postgresql://%68ost/", hosts: ["host:5432"]),
        Case("postgresql://h:%35432/", hosts: ["h:5432"]),
        Case("postgresql://h1%2Ch2/", hosts: ["h1:5432", "h2:5432"]),
        Case("postgresql://[::1]", hosts: ["[::1]:5432"]),
        Case("postgresql://[::1]:12345/db", hosts: ["[::1]:12345"], dbname: "db"),
        Case("postgresql://[2001:db8::1234]?sslmode=disable", hosts: ["[2001:db8::1234]:5432"], ["sslmode": "disable"]),
        Case("postgresql://[fe80::1%25eth0],[::1]:1/", hosts: ["[fe80::1%eth0]:1", "[::1]:1"]),
        Case("postgresql://[200z:db8::1234]/", hosts: ["[200z:db8::1234]:5432"]),
        Case(
            "postgres://u%40corp:p%2F%40%3A%25@h/a%2Fb%3F",
            user: "u@corp",
            password: "p/@:%",
            hosts: ["h:5432"],
            dbname: "a/b?"
        ),
        Case("postgres://h/a/b", hosts: ["h:5432"], dbname: "a/b"),
        Case("postgres://me@h/db@x", user: "me", hosts: ["h:5432"], dbname: "db@x"),
        Case("postgres://h/?options=-c%20geqo%3Doff", hosts: ["h:5432"], ["options": "-c geqo=off"]),
        Case("postgres://h/?options=a+b", hosts: ["h:5432"], ["options": "a+b"]),
        Case("postgres://h/?application_name=%C3%A9t%C3%A9", hosts: ["h:5432"], ["application_name": "été"]),
        Case("postgres://h?ssl=true", hosts: ["h:5432"], ["sslmode": "require"]),
        Case("postgres://h?ssl=true&sslmode=verify-full", hosts: ["h:5432"], ["sslmode": "verify-full"]),
        Case("postgres://h?sslmode=allow&requiressl=1", hosts: ["h:5432"], ["sslmode": "require"]),
        Case("postgres://h?requiressl=0", hosts: ["h:5432"], ["sslmode": "prefer"]),
        Case("postgres://h?sslmode=allow&", hosts: ["h:5432"], ["sslmode": "allow"]),
        Case("postgres://h?load_balance_hosts=random", hosts: ["h:5432"], ["load_balance_hosts": "random"]),
    ]

    @Test(arguments: cases)
    func aURIMeansWhatLibPQSaysItMeans(_ example: Case) throws {
        let parameters = try ConnectionParameters(example.uri, environment: .testing())
        #expect(parameters.user == example.user)
        #expect(parameters.password?.revealed == example.password)
        #expect(parameters.hosts.map(\.description) == example.hosts)
        #expect(parameters.dbname == example.dbname)
        let identity: Set = ["user", "password", "host", "port", "dbname"]
        #expect(parameters.given.filter { !identity.contains($0.key) } == example.others)
    }

    @Test(arguments: [
        ("postgre://", ConnectionStringError.Code.unsupportedScheme),
        ("Postgresql://h", .unsupportedScheme),
        ("mysql://u:p@h/db?x=1", .unsupportedScheme),
        ("jdbc:postgresql://h/db", .unsupportedScheme),
        ("postgresql:/h", .unsupportedScheme),
        ("postgres://[::1", .malformed),
        ("postgres://[::1/db", .malformed),
        ("postgres://[]", .invalidHost),
        ("postgres://[::1]z", .malformed),
        ("postgres://::1/db", .invalidPort),
        ("postgresql://host?zzz", .malformed),
        ("postgresql://host?value1&value2", .malformed),
        ("postgresql://host?user=b&&dbname=d", .malformed),
        ("postgresql://host?key=key=value", .malformed),
        ("postgresql://host?user=a=b", .malformed),
        ("postgresql://host?uzer=", .unknownParameter),
        ("postgresql://host?=", .unknownParameter),
        ("postgresql://host?ssl=false", .unknownParameter),
        ("postgresql://host?User=x", .unknownParameter),
        ("postgresql://host?u%7aer=x", .unknownParameter),
        ("postgres://host?dbname=%XXfoo", .invalidPercentEncoding),
        ("postgresql://%zz", .invalidPercentEncoding),
        ("postgresql://%1", .invalidPercentEncoding),
        ("postgresql://%", .invalidPercentEncoding),
        ("postgresql://u:100%@h", .invalidPercentEncoding),
        ("postgresql://h:%3/", .invalidPercentEncoding),
        ("postgresql://[fe80::1%eth0]/", .invalidPercentEncoding),
        ("postgresql://a%00b", .invalidText),
        ("postgresql://a\0b", .invalidText),
        ("postgresql://u%FF@h", .invalidText),
        ("postgres://host?user=a&user=a", .duplicateParameter),
        ("postgres://u@host?user=a&user=b", .duplicateParameter),
        ("postgres://h:0", .invalidPort),
        ("postgres://h:65536", .invalidPort),
        ("postgres://h:-1", .invalidPort),
        ("postgres://h:abc", .invalidPort),
        ("postgres://h:5432a", .invalidPort),
        ("postgres://h:99999999999999999999", .invalidPort),
        ("postgres://h:5432:5433/db", .invalidPort),
        ("postgres://user:pw", .invalidPort),
        ("postgres://h?port=0", .invalidPort),
        ("postgres://h?port=70000", .invalidPort),
        ("postgres://h?port=x", .invalidPort),
        ("postgres://,h2", .invalidHost),
        ("postgres://h1,", .invalidHost),
        ("postgres://h1,,h2", .invalidHost),
        ("postgres://a:1,:2/", .invalidHost),
        ("postgres://ho st/db", .invalidHost),
        ("postgres://h&sslmode=require/db", .invalidHost),
        ("postgres://h#fragment", .invalidHost),
        ("postgres://h?hostaddr=example.com", .invalidHost),
        ("postgres://u:p@ss@host/db", .malformed),
        ("postgres://u:p/w@host/db", .malformed),
        ("postgres://u:1/2@host/db", .malformed),
        ("postgres://u:p@ss/w@host/db", .malformed),
        ("postgres://h1,h2?port=1,2,3", .countMismatch),
        ("postgres://h1:1,h2:2?host=h3", .countMismatch),
        ("postgres://h1,h2?hostaddr=1.1.1.1", .countMismatch),
        ("postgres://h?sslmode=on", .invalidValue),
        ("postgres://h?sslmode=", .invalidValue),
        ("postgres://h?sslmode=REQUIRE", .invalidValue),
        ("postgres://h?target_session_attrs=master", .invalidValue),
        ("postgres://h?load_balance_hosts=yes", .invalidValue),
        ("postgres://h?keepalives=yes", .invalidValue),
        ("postgres://h?sslsni=2", .invalidValue),
        ("postgres://h?channel_binding=maybe", .invalidValue),
        ("postgres://h?gssencmode=on", .invalidValue),
        ("postgres://h?connect_timeout=abc", .invalidValue),
        ("postgres://h?connect_timeout=1.5", .invalidValue),
        ("postgres://h?connect_timeout=5s", .invalidValue),
        ("postgres://h?connect_timeout=-1", .invalidValue),
        ("postgres://h?connect_timeout=", .invalidValue),
        ("postgres://h?connect_timeout=2147483648", .invalidValue),
        ("postgres://h?tcp_user_timeout=-1", .invalidValue),
        ("postgres://h?keepalives_idle=x", .invalidValue),
        ("postgres://h?ssl_min_protocol_version=SSLv3", .invalidValue),
        ("postgres://h?ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", .invalidValue),
        ("postgres://h?require_auth=scram-sha-256", .unknownParameter),
        ("postgres://h?sslrootcert=system", .invalidValue),
        ("postgres://h?service=none", .serviceNotFound),
    ])
    func whatCannotBeUnderstoodIsATypedError(uri: String, code: ConnectionStringError.Code) throws {
        let error = try #require(connectionStringError(uri), "\(uri) was accepted")
        #expect(error.code == code, "\(uri): \(error)")
    }

    @Test(arguments: [
        ("postgres://h?sslmod=require", "sslmod", "sslmode"),
        ("postgres://h?username=x", "username", "user"),
        ("postgres://h?applicationName=x", "applicationName", "application_name"),
        ("postgres://h?target_session_attr=any", "target_session_attr", "target_session_attrs"),
        ("postgres://h?targetServerType=primary", "targetServerType", "target_session_attrs"),
        ("postgres://h?conect_timeout=1", "conect_timeout", "connect_timeout"),
        ("host=h datbase=x", "datbase", "dbname"),
        ("host=h dbnmae=x", "dbnmae", "dbname"),
    ])
    func anUnknownParameterIsNamedWithTheLikelyOne(text: String, keyword: String, suggestion: String) throws {
        let error = try #require(connectionStringError(text))
        #expect(error.code == .unknownParameter)
        #expect(error.parameter == keyword)
        #expect(error.message.contains("\"\(keyword)\""))
        #expect(error.message.contains("did you mean \"\(suggestion)\""))
    }

    @Test func anErrorTellsWhere() throws {
        #expect(connectionStringError("postgres://[::1]z")?.position == 17)
        #expect(connectionStringError("postgres://host?zzz=1")?.position == 17)
        #expect(connectionStringError("postgres://host/%4")?.position == 17)
        #expect(connectionStringError("host=a zzz=1")?.position == 8)
        #expect(connectionStringError("postgres://[::1]z")?.description.contains("position 17") == true)
    }

    @Test func parametersOfALaterLibPQAreTakenFromThatVersionOn() throws {
        let environment = ConnectionEnvironment.testing(libpqVersion: 160_000)
        let parameters = try ConnectionParameters(
            "postgres://h?require_auth=scram-sha-256&sslrootcert=system",
            environment: environment
        )
        #expect(parameters.libpq["require_auth"] == "scram-sha-256")
        #expect(parameters.sslmode == .verifyFull)
        #expect(
            connectionStringError("postgres://h?sslrootcert=system&sslmode=require", environment)?.parameter
                == "sslmode"
        )
    }
}

// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres
import Testing

@Suite struct ConnectionKeywordValueTests {
    @Test(
        arguments: [
            ("", [:]),
            ("  \t\n ", [:]),
            ("host=h", ["host": "h"]),
            (" host = h  port\t=\n1 ", ["host": "h", "port": "1"]),
            ("host=h\u{0B}user=u\u{0C}dbname=d\r", ["host": "h", "user": "u", "dbname": "d"]),
            ("user='a b' dbname = 'c'", ["user": "a b", "dbname": "c"]),
            ("user='it\\'s' dbname='back\\\\slash'", ["user": "it's", "dbname": "back\\slash"]),
            ("user=it\\'s\\ me dbname=x\\", ["user": "it's me", "dbname": "x"]),
            ("user='' dbname=", ["user": "", "dbname": ""]),
            ("user='a'dbname='b'", ["user": "a", "dbname": "b"]),
            ("user=a'b'c", ["user": "a'b'c"]),
            ("options='-c a=b'", ["options": "-c a=b"]),
            ("dbname=a=b", ["dbname": "a=b"]),
            ("dbname= a=b user=password=x", ["dbname": "a=b", "user": "password=x"]),
            ("dbname=100% application_name=a%20b", ["dbname": "100%", "application_name": "a%20b"]),
            ("requiressl=1", ["sslmode": "require"]),
            ("requiressl=1 sslmode=verify-full", ["sslmode": "verify-full"]),
            ("dbname=postgres://other", ["dbname": "postgres://other"]),
        ] as [(String, [String: String])]
    )
    func pairsAreReadAsLibPQReadsThem(text: String, expected: [String: String]) throws {
        #expect(try ConnectionParameters(text, environment: .testing()).given == expected)
    }

    @Test(arguments: [
        ("host", ConnectionStringError.Code.malformed),
        ("host h", .malformed),
        ("host=h port", .malformed),
        ("host=h 5432=port x", .unknownParameter),
        ("=h", .unknownParameter),
        ("'host'=h", .unknownParameter),
        ("HOST=h", .unknownParameter),
        ("user='abc", .unterminatedQuote),
        ("user='abc\\'", .unterminatedQuote),
        ("user='abc\\", .unterminatedQuote),
        ("host= password=x", .malformed),
        ("host=\n user = x", .unknownParameter),
        ("host=a host=b", .duplicateParameter),
        ("host=a\0 user=b", .invalidText),
        ("host=a:5432", .invalidHost),
        ("host=[::1]", .invalidHost),
        ("host=a,,b", .invalidHost),
        ("hostaddr=1.2.3.4,", .invalidHost),
        ("hostaddr=localhost", .invalidHost),
        ("host=a,b port=1,2,3", .countMismatch),
        ("host=a port=1,2", .countMismatch),
        ("host=a,b hostaddr=1.1.1.1,2.2.2.2,3.3.3.3", .countMismatch),
        ("host=a port=1,x", .invalidPort),
        ("port=0", .invalidPort),
        ("port=5432.0", .invalidPort),
    ])
    func malformedPairsAreATypedErrorAndNeverThisMachine(text: String, code: ConnectionStringError.Code) throws {
        let error = try #require(connectionStringError(text), "\(text) was accepted")
        #expect(error.code == code, "\(text): \(error)")
    }

    @Test(arguments: [
        ("host=a,b port=6432", ["a:6432", "b:6432"]),
        ("host=a,b port=1,2", ["a:1", "b:2"]),
        ("host=a,b,c port=,6432,", ["a:5432", "b:6432", "c:5432"]),
        ("host=a,b,c port=,,6432", ["a:6432", "b:6432", "c:6432"]),
        ("host=a,b", ["a:5432", "b:5432"]),
        ("host=::1,fe80::1%lo", ["[::1]:5432", "[fe80::1%lo]:5432"]),
        ("host=/tmp,h port=' 1 ,+2'", ["/tmp:1", "h:2"]),
        ("host=/dir:with:colons", ["/dir:with:colons:5432"]),
        ("host='' port=''", ["/run/pg:5432"]),
    ])
    func onePortIsEveryHostsElseEachHasItsOwn(text: String, hosts: [String]) throws {
        #expect(try ConnectionParameters(text, environment: .testing()).hosts.map(\.description) == hosts)
    }

    @Test func addressesBelongToTheHostsInOrder() throws {
        let parameters = try ConnectionParameters("host=a,,c hostaddr=,10.0.0.2,::1 port=1", environment: .testing())
        #expect(
            parameters.hosts == [
                HostEndpoint(host: "a", port: 1),
                HostEndpoint(host: "10.0.0.2", hostAddress: "10.0.0.2", port: 1),
                HostEndpoint(host: "c", hostAddress: "::1", port: 1),
            ]
        )
    }
}

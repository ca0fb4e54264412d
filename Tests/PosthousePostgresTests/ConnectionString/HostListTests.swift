// SPDX-License-Identifier: Apache-2.0
import PosthousePostgres
import Testing

@Suite struct HostListTests {
    @Test(arguments: [
        ("postgres://db1,db2,db3", ["db1:5432", "db2:5432", "db3:5432"]),
        ("postgres://db1:1,db2:2,db3:3", ["db1:1", "db2:2", "db3:3"]),
        ("postgres://db1,db2,db3:6432", ["db1:6432", "db2:6432", "db3:6432"]),
        ("postgres://db1:6432,db2", ["db1:6432", "db2:5432"]),
        ("postgres://db1,db2:2,db3", ["db1:5432", "db2:2", "db3:5432"]),
        ("postgres://db1,db2:2,db3:3", ["db1:5432", "db2:2", "db3:3"]),
        ("postgres://[::1],[::2]:6432", ["[::1]:6432", "[::2]:6432"]),
        ("postgres://db1,db2,db3:6432/?port=1", ["db1:1", "db2:1", "db3:1"]),
    ])
    func aPortOnTheLastHostOnlyIsEveryHosts(uri: String, hosts: [String]) throws {
        #expect(try ConnectionParameters(uri, environment: .testing()).hosts.map(\.description) == hosts)
    }

    @Test func aHostListedTwiceCountsOnceAndTheOrderStays() throws {
        let parameters = try ConnectionParameters(
            "postgres://b,a:5432,b:5432,B,a:1,b/",
            environment: .testing()
        )
        #expect(parameters.hosts.map(\.description) == ["b:5432", "a:5432", "B:5432", "a:1"])
        let named = try ConnectionParameters("host=a,b,a hostaddr=1.1.1.1,1.1.1.1,1.1.1.1", environment: .testing())
        #expect(named.hosts.map(\.description) == ["a(1.1.1.1):5432", "b(1.1.1.1):5432"])
    }

    @Test(.timeLimit(.minutes(20)))
    func thousandsOfHostsAreNoTrouble() throws {
        let names = (0..<20_000).map { "db\($0).example.org:\($0 % 60_000 + 1)" }
        let parameters = try ConnectionParameters(
            "postgres://\((names + names).joined(separator: ","))/db",
            environment: .testing()
        )
        #expect(parameters.hosts.map(\.description) == names)
        #expect(parameters.description.utf8.count > 20_000)
    }

    @Test func noHostMeansLibPQsDefault() throws {
        #expect(try ConnectionParameters("", environment: .testing()).hosts == [HostEndpoint(host: "/run/pg")])
        #expect(try ConnectionParameters("", environment: .testing()).hosts[0].isUnixSocket)
        let expected = LibPQReference.prepare([("host", ","), ("hostaddr", ","), ("port", "1"), ("password", "x")]).host
        #expect(ConnectionEnvironment.process.defaultHost == expected)
        #expect(!expected.isEmpty)
    }

    @Test func anEndpointKnowsWhetherItIsASocket() {
        #expect(HostEndpoint(host: "/tmp").isUnixSocket)
        #expect(HostEndpoint(host: "@abstract").isUnixSocket)
        #expect(!HostEndpoint(host: "/tmp", hostAddress: "127.0.0.1").isUnixSocket)
        #expect(!HostEndpoint(host: "db").isUnixSocket)
        #expect(HostEndpoint(host: "::1", port: 1).description == "[::1]:1")
        #expect(HostEndpoint(host: "db").description == "db:5432")
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseTestKit
import Synchronization
import Testing

@testable import Posthouse

/// A name server under the test's control.
private final class ScriptedNames: Sendable {
    struct Unknown: Error {}

    private let answers = Mutex<[String: [HostEndpoint]]>([:])

    func set(_ name: String, _ endpoints: [HostEndpoint]?) { answers.withLock { $0[name] = endpoints } }

    func lookUp(_ name: HostEndpoint) throws -> [HostEndpoint] {
        guard let answer = answers.withLock({ $0[name.host] }) else { throw Unknown() }
        return answer
    }
}

@Suite(.timeLimit(.minutes(20))) struct DNSSourceTests {
    @Test func theHostsOfAllNamesAreOneAnswerInTheirOrder() async throws {
        let names = ScriptedNames()
        names.set("a", ["10.0.0.2", "10.0.0.1"].map { HostEndpoint(host: "a", hostAddress: $0) })
        names.set("b", [HostEndpoint(host: "b", hostAddress: "10.0.0.3", port: 7)])
        let source = DNSSource([HostEndpoint(host: "a"), HostEndpoint(host: "b", port: 7)]) { name, _ in
            try names.lookUp(name)
        }
        let hosts = try await source.hosts(deadline: .now + .seconds(60))
        #expect(hosts.map(\.endpoint.description) == ["a(10.0.0.2):5432", "a(10.0.0.1):5432", "b(10.0.0.3):7"])
    }

    @Test func anAnswerThatIsNotWholeIsNone() async throws {
        let names = ScriptedNames()
        names.set("a", [HostEndpoint(host: "a", hostAddress: "10.0.0.2")])
        let source = DNSSource([HostEndpoint(host: "a"), HostEndpoint(host: "b")]) { name, _ in try names.lookUp(name) }
        await #expect(throws: ScriptedNames.Unknown.self) { try await source.hosts(deadline: .now + .seconds(60)) }
    }

    @Test func addressesStandForThemselves() async throws {
        let given = [HostEndpoint(host: "127.0.0.1", port: 7), HostEndpoint(host: "::1"), HostEndpoint(host: "/tmp")]
        let source = try DNSSource(given)
        #expect(try await source.hosts(deadline: .now + .seconds(60)).map(\.endpoint) == given)
    }

    @Test func aNameBecomesItsAddressesAndStaysWithThem() async throws {
        let hosts = try await DNSSource([HostEndpoint(host: "localhost", port: 7)]).hosts(deadline: .now + .seconds(60))
        #expect(!hosts.isEmpty)
        #expect(hosts.allSatisfy { $0.endpoint.host == "localhost" && $0.endpoint.port == 7 })
        #expect(hosts.contains { ["127.0.0.1", "::1"].contains($0.endpoint.hostAddress) })
    }
}

extension RealServers {
    @Suite struct NamedServersTests {
        /// An endpoint of a name, as a name server would give it if it knew of ports.
        private func endpoint(of node: LocalNode) -> HostEndpoint {
            HostEndpoint(host: "localhost", hostAddress: "127.0.0.1", port: node.port)
        }

        @Test func aNameWhoseAddressesChangeIsFollowedAndTLSVerifiesTheName() async throws {
            try await LocalCluster.withCluster(.init(replicas: 2, tls: true)) { servers in
                let root = try #require(servers.rootCertificate)
                let names = ScriptedNames()
                names.set("localhost", servers.nodes[0...1].map(endpoint(of:)))
                let source = DNSSource([HostEndpoint(host: "localhost")], refreshInterval: .seconds(1)) { name, _ in
                    try names.lookUp(name)
                }
                let cluster = try PostgresCluster(
                    "postgresql://postgres@/postgres?sslmode=verify-full&sslrootcert=\(root)",
                    source: source,
                    rules: SourceRules(absences: 2, removalDelay: .seconds(1))
                )
                try await cluster.ready(primaries: 1, replicas: 1, timeout: .seconds(120))
                #expect(cluster.snapshot().primary == "localhost(127.0.0.1):\(servers.nodes[0].port)")
                names.set("localhost", [servers.nodes[0], servers.nodes[2]].map(endpoint(of:)))
                try await eventually("the host that is gone is removed, and the new one used") {
                    Set(cluster.snapshot().hosts.map(\.host))
                        == Set([servers.nodes[0], servers.nodes[2]].map { endpoint(of: $0).description })
                        && cluster.snapshot().replicas.count == 1
                }
                names.set("localhost", nil)
                #expect(try await cluster.write { try await $0.port } == servers.nodes[0].port)
                #expect(try await cluster.read { try await $0.port } == servers.nodes[2].port)
                await cluster.close()
            }
        }

        @Test func theNamesOfAConnectionStringAreResolved() async throws {
            let servers = try await SharedServers.get()
            let cluster = try PostgresCluster(
                resolving: "postgresql://postgres@localhost:\(servers.primary.port)/postgres"
            )
            #expect(try await cluster.write { try await $0.port } == servers.primary.port)
            #expect(cluster.snapshot().hosts.allSatisfy { $0.host.hasPrefix("localhost(") })
            await cluster.close()
        }
    }
}

extension DatabaseSession {
    /// Of the server that is really there.
    fileprivate var port: Int {
        get async throws { try await queryValue("SELECT inet_server_port()", as: Int.self) }
    }
}

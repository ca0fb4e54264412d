// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

/// Where a connection string can lead astray.
enum BadEndpoint: String, CaseIterable, Sendable {
    case wrongPassword
    case unknownRole
    case missingDatabase
    case withoutTLS
    case untrustedCertificate
    case garbage
    case silent
    case unreachable
    case refusing
    case closing
    case resetting

    static let password = "correct-horse-battery"
    static let wrong = "hunter2-hunter2"

    /// The state that the host must be found in, and a word that the reason must contain.
    var verdict: (state: HostState, word: String) {
        switch self {
        case .wrongPassword: (.misconfigured, "28P01")
        case .unknownRole: (.misconfigured, "28")
        case .missingDatabase: (.misconfigured, "3D000")
        case .withoutTLS: (.misconfigured, "SSL")
        case .untrustedCertificate: (.misconfigured, "certificate")
        case .garbage: (.misconfigured, "")
        case .silent: (.frozen, "did not answer")
        case .unreachable: (.frozen, "did not answer")
        case .refusing: (.down, "refused")
        case .closing: (.down, "closed the connection")
        case .resetting: (.down, "reset")
        }
    }

    private var fault: FaultProxy.Fault? {
        switch self {
        case .garbage: .garbage()
        case .silent: .blackHole()
        case .unreachable: .unreachable
        case .refusing: .refuse
        case .closing: .cut
        case .resetting: .reset
        default: nil
        }
    }

    /// A connection string that leads there, by way of a proxy.
    func connectionString(through proxy: FaultProxy) async throws -> String {
        if let fault { try await proxy.apply(fault) }
        func string(_ user: String = "app", database: String = "postgres", _ parameters: [String: String] = [:])
            -> String
        {
            proxy.dsn(user: user, database: database, password: Self.password, parameters: parameters)
        }
        return switch self {
        case .wrongPassword: proxy.dsn(user: "app", password: Self.wrong)
        case .unknownRole: string("nobody")
        case .missingDatabase: string(database: "nowhere")
        case .withoutTLS: string("app", ["sslmode": "require"])
        case .untrustedCertificate:
            string("tls", ["sslmode": "verify-full", "sslrootcert": "/etc/ssl/certs/ca-certificates.crt"])
        default: string()
        }
    }
}

extension RealServers {
    @Suite struct BadEndpointTests {
        private static let configuration = LocalCluster.Configuration(
            hostBasedAuthentication: [
                "hostssl all tls 127.0.0.1/32 scram-sha-256", "hostnossl all all 127.0.0.1/32 scram-sha-256",
                "host all all 127.0.0.1/32 reject",
            ],
            setUp: [
                "CREATE ROLE app LOGIN PASSWORD '\(BadEndpoint.password)'",
                "CREATE ROLE tls LOGIN PASSWORD '\(BadEndpoint.password)'",
            ]
        )

        @Test func everyBadEndpointIsNamedForWhatItIsAndLeavesNothingBehind() async throws {
            try await LocalCluster.withCluster(Self.configuration) { plain in
                var secured = Self.configuration
                secured.tls = true
                try await LocalCluster.withCluster(secured) { secured in
                    for endpoint in BadEndpoint.allCases {
                        let node = endpoint == .untrustedCertificate ? secured.primary : plain.primary
                        try await tryOut(endpoint, node)
                    }
                }
            }
        }

        private func tryOut(_ endpoint: BadEndpoint, _ node: LocalNode) async throws {
            let proxy = try FaultProxy(to: node)
            let connectionString = try await endpoint.connectionString(through: proxy)
            // An unreachable proxy keeps its own queue full.
            let others = OpenSockets.count(to: [proxy.port])
            try await OwnLoops.lent { loops in
                let cluster = try loops.cluster(connectionString)
                let log = EventLog(of: cluster)
                var found = cluster.snapshot().hosts[0]
                try await eventually("\(endpoint) is found out") {
                    found = cluster.snapshot().hosts[0]
                    return found.state == endpoint.verdict.state
                }
                let reason = try #require(found.reason, "\(endpoint)")
                #expect(reason.contains(endpoint.verdict.word), "\(endpoint): \(reason)")
                let error = await #expect(throws: ClusterError.self) {
                    try await cluster.write(timeout: .milliseconds(100)) { _ in }
                }
                #expect(error?.code == .noHostReachable, "\(endpoint)")
                #expect(error?.hosts.first?.reason?.contains(endpoint.verdict.word) == true, "\(endpoint)")
                await cluster.close()
                // All that a log could show.
                var texts = [reason, String(reflecting: cluster.snapshot()), "\(await log.all)"]
                if let error { texts += ["\(error)", String(reflecting: error)] }
                for text in texts {
                    #expect(!text.contains(BadEndpoint.password) && !text.contains(BadEndpoint.wrong), "\(endpoint)")
                }
                try await loops.waitUntilEmpty()
                try await eventually("\(endpoint) after close") { OpenSockets.count(to: [proxy.port]) <= others }
                try await terminateAndDrop(loops, connectionString, proxy, others: others)
            }
            await proxy.close()
        }

        private func terminateAndDrop(
            _ loops: OwnLoops,
            _ connectionString: String,
            _ proxy: FaultProxy,
            others: Int
        ) async throws {
            // In the midst of connecting, with somebody waiting.
            do {
                let cluster = try loops.cluster(connectionString)
                let waiting = Task { try await cluster.write(timeout: .seconds(60)) { _ in } }
                try await eventually("it waits") { cluster.snapshot().waiting == 1 }
                cluster.terminate()
                let error = await #expect(throws: ClusterError.self) { try await waiting.value }
                #expect(error?.code == .closed)
            }
            try await loops.waitUntilEmpty()
            try await eventually("after terminate") { OpenSockets.count(to: [proxy.port]) <= others }
            do {
                let dropped = try loops.cluster(connectionString)
                #expect(dropped.snapshot().hosts.count == 1)
            }
            try await loops.waitUntilEmpty()
            try await eventually("after dropping it") { OpenSockets.count(to: [proxy.port]) <= others }
        }

        @Test func goodHostsServeWhateverTheOthersDo() async throws {
            let servers = try await SharedServers.get()
            let node = servers.nodes[2]
            let (garbage, silent, refusing) = (
                try FaultProxy(to: node), try FaultProxy(to: node), try FaultProxy(to: node)
            )
            try await garbage.apply(.garbage())
            try await silent.apply(.blackHole())
            try await refusing.apply(.refuse)
            let proxies = [garbage, silent, refusing]
            let ports = proxies.map(\.port) + [servers.nodes[0].port, servers.nodes[1].port]
            try await OwnLoops.lent { loops in
                let hosts = ports.map { "127.0.0.1:\($0)" }.joined(separator: ",")
                let cluster = try loops.cluster("postgresql://postgres@\(hosts)/postgres")
                #expect(try await cluster.write { $0.host } == servers.nodes[0].address)
                #expect(try await cluster.read { $0.host } == servers.nodes[1].address)
                try await eventually("all are found out") {
                    cluster.snapshot().hosts.map(\.state) == [.misconfigured, .frozen, .down, .up, .up]
                }
                for _ in 0..<50 { #expect(try await cluster.withAnyHost { ports[3...].contains($0.port) }) }

                for proxy in proxies { try await proxy.heal() }
                try await cluster.ready(timeout: .seconds(120))
                #expect(cluster.snapshot().hosts.map(\.role) == [.replica, .replica, .replica, .primary, .replica])
                await cluster.close()
            }
            for proxy in proxies { await proxy.close() }
        }
    }
}

extension DatabaseSession {
    fileprivate var port: Int { host.split(separator: ":").last.flatMap { Int($0) } ?? 0 }
}

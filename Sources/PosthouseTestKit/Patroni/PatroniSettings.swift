// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
    internal import FoundationEssentials
#else
    internal import Foundation
#endif

/// The configuration file of a member's Patroni, as JSON, which is YAML.
struct PatroniSettings {
    private let configuration: LocalPatroni.Configuration
    private let etcdPort: Int

    init(_ configuration: LocalPatroni.Configuration, etcdPort: Int) {
        self.configuration = configuration
        self.etcdPort = etcdPort
    }

    func text(of node: LocalNode, restPort: Int) throws(LocalClusterError) -> String {
        let layout = node.layout
        let login = Login(username: "postgres")
        let file = File(
            scope: "posthouse",
            name: node.name,
            restapi: Interface(listen: "127.0.0.1:\(restPort)", connect_address: "127.0.0.1:\(restPort)"),
            etcd3: Etcd(hosts: ["127.0.0.1:\(etcdPort)"]),
            bootstrap: Bootstrap(dcs: decisions),
            postgresql: PostgreSQL(
                listen: "127.0.0.1:\(node.port)",
                connect_address: "127.0.0.1:\(node.port)",
                data_dir: node.dataDirectory,
                bin_dir: layout.installation.binaryDirectory,
                pgpass: "\(layout.nodeFolder(node.name))/pgpass",
                // So that what befalls the port of a server does not come between it and its Patroni.
                use_unix_socket: node.socketDirectory != nil,
                authentication: ["superuser": login, "replication": login, "rewind": login],
                parameters: node.socketDirectory.map { ["unix_socket_directories": $0] } ?? [:]
            )
        )
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(file), as: UTF8.self)
        } catch {
            throw LocalClusterError(.fileSystem, "Could not write Patroni's configuration: \(error).")
        }
    }

    /// What the members agree on in etcd.
    private var decisions: Decisions {
        let lease = Int(configuration.lease.components.seconds)
        return Decisions(
            ttl: lease,
            loop_wait: 1,
            // Patroni's rule: the lease is no shorter than a loop and two retries.
            retry_timeout: max(2, (lease - 1) / 2),
            maximum_lag_on_failover: 1 << 30,
            synchronous_mode: configuration.synchronous,
            postgresql: Decisions.Servers(use_pg_rewind: true, parameters: configuration.settings)
        )
    }

    // MARK: - The file. Names are Patroni's.

    private struct File: Encodable {
        var scope: String
        var name: String
        var restapi: Interface
        var etcd3: Etcd
        var bootstrap: Bootstrap
        var postgresql: PostgreSQL
    }

    private struct Interface: Encodable {
        var listen: String
        var connect_address: String
    }

    private struct Etcd: Encodable {
        var hosts: [String]
    }

    private struct Bootstrap: Encodable {
        var dcs: Decisions
    }

    private struct Decisions: Encodable {
        struct Servers: Encodable {
            var use_pg_rewind: Bool
            var parameters: [String: String]
        }
        var ttl: Int
        var loop_wait: Int
        var retry_timeout: Int
        var maximum_lag_on_failover: Int
        var synchronous_mode: Bool
        var postgresql: Servers
    }

    private struct Login: Encodable {
        var username: String
    }

    private struct PostgreSQL: Encodable {
        var listen: String
        var connect_address: String
        var data_dir: String
        var bin_dir: String
        var pgpass: String
        var use_unix_socket: Bool
        var authentication: [String: Login]
        var parameters: [String: String]
    }
}

// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import PosthouseTestKit

/// `posthouse cluster up`: a cluster that runs, whatever there was before.
struct ClusterUpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Starts the cluster, or makes it whole again, and prints its connection string.",
        discussion: """
            If there is a cluster, nodes that are down are started, paused ones resumed, and a primary that was \
            replaced becomes a replica of the current one. The connection string is all that is printed on standard \
            output: export DSN=$(posthouse cluster up).
            """
    )

    @OptionGroup var options: ClusterOptions

    @Option(name: .long, help: "The port of the first node; the others follow. Default: free ones.")
    var basePort: Int?

    @Option(name: .long, help: "How many replicas. Default: 2.")
    var replicas: Int?

    func validate() throws {
        if let replicas, !(0...15).contains(replicas) {
            throw ValidationError("--replicas must be from 0 to 15")
        }
        if let basePort, !(1...65535 - (replicas ?? Self.usualReplicas)).contains(basePort) {
            throw ValidationError("--base-port must be from 1 to 65535, with room for one port per node")
        }
    }

    private static let usualReplicas = 2

    func run() async throws {
        try await options.perform("up") {
            let cluster = try await makeWhole()
            if options.json {
                Console.output(try await ClusterReport(cluster).json)
            } else {
                Console.remark(try await ClusterReport(cluster).table)
                Console.output(cluster.dsn())
                Console.remark(next(for: cluster))
            }
        }
    }

    private func makeWhole() async throws -> LocalCluster {
        let existing: LocalCluster
        do {
            existing = try await LocalCluster.open(at: options.directory)
        } catch {
            guard error.code == .notACluster else { throw error }
            do {
                return try await create()
            } catch {
                // Somebody else was faster.
                guard error.code == .alreadyExists else { throw error }
                return try await makeWhole()
            }
        }
        guard existing.isIntact else {
            Console.remark("The cluster's files are gone, as after a restart of the machine: starting a new one.")
            try await existing.shutdown()
            return try await create()
        }
        try check(existing)
        try await existing.heal()
        return existing
    }

    private func create() async throws(LocalClusterError) -> LocalCluster {
        let configuration = LocalCluster.Configuration(
            replicas: replicas ?? Self.usualReplicas,
            basePort: basePort
        )
        let cluster = try await LocalCluster.create(at: options.directory, configuration)
        return cluster
    }

    /// What a cluster is made of cannot be changed while it is there.
    private func check(_ cluster: LocalCluster) throws {
        if let replicas, replicas != cluster.nodes.count - 1 {
            throw ClusterDiffers(what: "\(cluster.nodes.count - 1) replicas", directory: options.directoryArgument)
        }
        if let basePort, basePort != cluster.nodes[0].port {
            throw ClusterDiffers(what: "base port \(cluster.nodes[0].port)", directory: options.directoryArgument)
        }
    }

    private func next(for cluster: LocalCluster) -> String {
        let directory = options.directoryArgument
        var lines = ["", "Try next:", "  posthouse status '\(cluster.dsn())'", "  psql '\(cluster.dsn())'"]
        if cluster.nodes.count > 1 {
            lines += [
                "  posthouse cluster kill\(directory) primary && posthouse cluster promote\(directory)",
                "  posthouse cluster pause\(directory) primary",
            ]
        }
        lines.append("  posthouse cluster down\(directory)")
        return lines.joined(separator: "\n")
    }
}

/// There is a cluster, and it is not the one that was asked for.
struct ClusterDiffers: Error, CustomStringConvertible {
    let what: String
    let directory: String

    var description: String {
        "The cluster that is there has \(what). Remove it first: `posthouse cluster down\(directory)`."
    }
}

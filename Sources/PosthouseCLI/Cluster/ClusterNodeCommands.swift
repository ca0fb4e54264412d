// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import PosthouseTestKit

/// `posthouse cluster promote`.
struct ClusterPromoteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "promote",
        abstract: "Makes a replica the primary; the other replicas follow it.",
        discussion: """
            The former primary is not touched: if it runs, there are two, and if it is started it comes back as it was. \
            `posthouse cluster rejoin` makes it a replica.
            """
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "Name or port of the node. Default: the first replica that is up.")
    var node: String?

    func run() async throws {
        try await options.perform("promote") {
            let cluster = try await options.open()
            let node = try await chosen(of: cluster)
            try await cluster.failOver(to: node)
            Console.remark("\(node.name) is the primary.")
            try await options.show(cluster)
        }
    }

    private func chosen(of cluster: LocalCluster) async throws -> LocalNode {
        if let node { return try cluster.node(named: node) }
        for node in cluster.nodes where node.role == .replica {
            if try await node.status().state == .up { return node }
        }
        throw NobodyToPromote()
    }
}

/// No replica is up.
struct NobodyToPromote: Error, CustomStringConvertible {
    var description: String { "No replica is up." }
}

/// `posthouse cluster stop`.
struct ClusterStopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "Stops a node, or all."
    )

    @OptionGroup var options: ClusterOptions

    @Option(
        name: .long,
        help: """
            fast: sessions end (57P01), the log is written and sent; immediate: as a crash; smart: waits until \
            sessions end by themselves. Default: fast.
            """,
        transform: Self.mode
    )
    var mode = LocalNode.StopMode.fast

    @Option(name: .long, help: "Seconds to wait for it.")
    var timeout: Double = 60

    @Argument(help: "Name or port of the node, or primary. Default: all nodes.")
    var node: String?

    @Sendable private static func mode(_ text: String) throws -> LocalNode.StopMode {
        if let mode = LocalNode.StopMode(rawValue: text) { return mode }
        throw ValidationError("it must be fast, immediate or smart.")
    }

    func validate() throws {
        guard timeout > 0, timeout < 1_000_000 else { throw ValidationError("--timeout must be more than 0 seconds") }
    }

    func run() async throws {
        try await options.forNodes("stop", node) { try await $0.stop(mode, within: .seconds(timeout)) }
    }
}

/// `posthouse cluster start`.
struct ClusterStartCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "start",
        abstract: "Starts a node, or all, as it is: a primary that was replaced comes back as a primary."
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "Name or port of the node, or primary. Default: all nodes.")
    var node: String?

    func run() async throws {
        try await options.forNodes("start", node) { try await $0.start() }
    }
}

/// `posthouse cluster kill`.
struct ClusterKillCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill",
        abstract: "Kills all processes of a node, or of all (SIGKILL), as a power cut does."
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "Name or port of the node, or primary. Default: all nodes.")
    var node: String?

    func run() async throws {
        try await options.forNodes("kill", node) { try await $0.kill() }
    }
}

/// `posthouse cluster pause`.
struct ClusterPauseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Freezes a node, or all (SIGSTOP): sockets stay open and are silent."
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "Name or port of the node, or primary. Default: all nodes that run.")
    var node: String?

    func run() async throws {
        try await options.forNodes("pause", node) { [named = node != nil] node in
            // Of all, only what runs can be frozen.
            if !named, try await node.status().state == .down { return }
            try await node.pause()
        }
    }
}

/// `posthouse cluster resume`.
struct ClusterResumeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Lets a frozen node, or all, go on."
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "Name or port of the node, or primary. Default: all nodes.")
    var node: String?

    func run() async throws {
        try await options.forNodes("resume", node) { try await $0.resume() }
    }
}

/// `posthouse cluster rejoin`.
struct ClusterRejoinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rejoin",
        abstract: "Makes a node anew as a replica of the primary. What it alone had written is lost."
    )

    @OptionGroup var options: ClusterOptions

    @Argument(help: "Name or port of the node.")
    var node: String

    func run() async throws {
        try await options.perform("rejoin") {
            let cluster = try await options.open()
            let node = try cluster.node(named: node)
            guard node !== cluster.primary else { throw ValidationError("\(node.name) is the primary itself.") }
            try await node.rejoin(following: cluster.primary)
            try await options.show(cluster)
        }
    }
}

extension ClusterOptions {
    /// Does something to the node that was named, or to all, and prints how they are then.
    func forNodes(
        _ command: String,
        _ name: String?,
        _ action: @escaping @Sendable (LocalNode) async throws -> Void
    ) async throws {
        try await perform(command) {
            let cluster = try await open()
            let nodes = try name.map { [try cluster.node(named: $0)] } ?? cluster.nodes
            for node in nodes { try await action(node) }
            try await show(cluster)
        }
    }
}

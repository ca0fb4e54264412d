// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Posthouse
import PosthouseReactor
import PosthouseTestKit

/// One contender of ours, alone: what the comparison runs, and what to run under a profiler.
struct MeasureCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "measure",
        abstract: "Measures one way through Posthouse and prints a JSON object."
    )

    /// What a statement goes through.
    enum Path: String, ExpressibleByArgument, CaseIterable {
        /// `cluster.write`: the whole manager, to the primary.
        case write
        /// `cluster.read`: the whole manager, to the replica.
        case read
        /// A `DatabaseConnection` for each client, and nothing else.
        case driver
    }

    /// Where the clients' tasks run.
    enum Executor: String, ExpressibleByArgument, CaseIterable {
        /// On Swift's threads.
        case `default`
        /// On the connections' event loops.
        case loops
    }

    @Argument(help: "write, read or driver.")
    var path: Path

    @Option(help: "default or loops.")
    var executor: Executor = .default

    @Option(help: "The servers; a throwaway cluster if left out.")
    var dsn: String?

    @OptionGroup var load: LoadOptions

    func run() async throws {
        if let dsn {
            try await run(on: dsn)
        } else {
            try await LocalCluster.withCluster(.init(replicas: 1)) { try await run(on: $0.dsn()) }
        }
    }

    private func run(on dsn: String) async throws {
        let measurement =
            switch path {
            case .write, .read: try await throughManager(dsn)
            case .driver: try await throughDriver(dsn)
            }
        print(String(decoding: try JSONEncoder().encode(measurement), as: UTF8.self))
    }

    private func throughManager(_ dsn: String) async throws -> Measurement {
        var configuration = ClusterConfiguration()
        configuration.pool.maximumSize = load.clients
        let cluster = try PostgresCluster(dsn, configuration: configuration)
        try await cluster.ready()
        let loop = ClosedLoop(
            clients: load.clients,
            executors: executor == .loops ? try EventLoopGroup.shared.loops : []
        )
        let measurement =
            if path == .write {
                try await measure(loop) { _ in _ = try await cluster.write { try await $0.query("SELECT 1") } }
            } else {
                try await measure(loop) { _ in _ = try await cluster.read { try await $0.query("SELECT 1") } }
            }
        await cluster.close()
        return measurement
    }

    private func throughDriver(_ dsn: String) async throws -> Measurement {
        let parameters = try ConnectionParameters(dsn)
        let loops = try EventLoopGroup.shared.loops
        var opened: [DatabaseConnection] = []
        for client in 0..<load.clients {
            opened.append(
                try await DatabaseConnection.connect(
                    to: parameters.hosts[0],
                    parameters: parameters,
                    loop: loops[client % loops.count],
                    deadline: .now + .seconds(10)
                )
            )
        }
        let connections = opened
        let loop = ClosedLoop(clients: load.clients, executors: executor == .loops ? loops : [])
        let measurement = try await measure(loop) { _ = try await connections[$0].query("SELECT 1") }
        for connection in connections { connection.close() }
        return measurement
    }

    private func measure(
        _ loop: ClosedLoop,
        operation: @escaping @Sendable (Int) async throws -> Void
    ) async throws -> Measurement {
        _ = try await loop.run(seconds: load.warmUp, operation: operation)
        return try await loop.run(seconds: load.seconds, operation: operation)
    }
}

/// How much load, and for how long.
struct LoadOptions: ParsableArguments {
    @Option(help: "How many clients, each with one statement at a time.")
    var clients = 8

    @Option(help: "How long a measurement lasts.")
    var seconds = 2.0

    @Option(help: "Seconds of load before each measurement, which do not count.")
    var warmUp = 0.3

    func validate() throws {
        guard (1...1000).contains(clients) else { throw ValidationError("--clients must be from 1 to 1000") }
        guard seconds > 0, seconds <= 3600 else { throw ValidationError("--seconds must be from 0 to 3600") }
        guard warmUp >= 0, warmUp <= 60 else { throw ValidationError("--warm-up must be from 0 to 60") }
    }
}

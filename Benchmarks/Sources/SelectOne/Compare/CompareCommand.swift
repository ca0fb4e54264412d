// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BenchmarkKit
import Foundation
import PosthouseTestKit

/// All contenders on one cluster, in interleaved rounds.
struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Measures Posthouse and its peers side by side and prints a table."
    )

    @Option(help: "How many rounds; the medians count.")
    var rounds = 7

    @OptionGroup var load: LoadOptions

    @Option(help: "Only the contenders whose names contain one of these words; nothing is written then.")
    var only: [String] = []

    @Option(help: "A Python that has the peers.")
    var python = "python3"

    @Option(help: "The folder with the peers' scripts.")
    var peers = "peers"

    @Option(help: "The folder for the results.")
    var output = "results"

    @Option(help: "The compiler's version, for the record.")
    var swiftVersion = "unknown"

    func validate() throws {
        guard (1...100).contains(rounds) else { throw ValidationError("--rounds must be from 1 to 100") }
    }

    func run() async throws {
        let installation = try PostgresInstallation.find()
        let (contenders, missing) = present(pgbench: "\(installation.binaryDirectory)/pgbench")
        let results = try await LocalCluster.withCluster(.init(replicas: 1)) { cluster in
            var comparison = Comparison(contenders)
            for round in 0..<rounds {
                for contender in comparison.order(inRound: round, of: rounds) {
                    let measurement = try attempt(contender, on: cluster, installation)
                    comparison.add(measurement, of: contender)
                    tell("round \(round + 1): \(contender.name): \(Int(measurement.operationsPerSecond))/s")
                }
            }
            let version = try await cluster.primary.value(of: "SHOW server_version") ?? "unknown"
            return Results(
                measuredOn: Date.now.formatted(.iso8601.year().month().day()),
                machine: MachineFacts(
                    swift: swiftVersion,
                    postgresql: version.split(separator: " ").first.map(String.init) ?? version
                ),
                clients: load.clients,
                rounds: rounds,
                secondsPerRound: load.seconds,
                contenders: comparison.lines,
                missing: missing
            )
        }
        print(results.table)
        if only.isEmpty { try results.write(to: URL(fileURLWithPath: output)) }
    }

    /// Who can take part; the others are told with the results, not left out silently.
    private func present(pgbench: String) -> (contenders: [Contender], missing: [Results.Missing]) {
        var contenders: [Contender] = []
        var missing: [Results.Missing] = []
        for contender in Contender.all where only.isEmpty || only.contains(where: contender.id.contains) {
            switch contender {
            case .python(let peer) where !isInstalled(peer):
                missing.append(Results.Missing(id: contender.id, reason: "not installed"))
            case .pgbench where !FileManager.default.isExecutableFile(atPath: pgbench):
                missing.append(Results.Missing(id: contender.id, reason: "not beside the server's programs"))
            default:
                contenders.append(contender)
            }
        }
        return (contenders, missing)
    }

    private func isInstalled(_ peer: PythonPeer) -> Bool {
        let arguments = [python, "-c", "import \(peer.module)"]
        return (try? ChildProgram(path: "/usr/bin/env", arguments: arguments, limit: 30, isQuiet: true).run()) != nil
    }

    /// A peer's program that crashes (one has been seen to, at its end) gets another try; ours does not.
    private func attempt(
        _ contender: Contender,
        on cluster: LocalCluster,
        _ installation: PostgresInstallation
    ) throws -> Measurement {
        do {
            return try measure(contender, on: cluster, installation)
        } catch {
            guard case .python = contender else { throw error }
            tell("\(contender.name) failed and is measured again: \(error)")
            return try measure(contender, on: cluster, installation)
        }
    }

    private func measure(
        _ contender: Contender,
        on cluster: LocalCluster,
        _ installation: PostgresInstallation
    ) throws -> Measurement {
        let limit = load.seconds + load.warmUp + 30
        switch contender {
        case .pgbench(let threads):
            return try PGBench(path: "\(installation.binaryDirectory)/pgbench", port: cluster.primary.port)
                .measure(threads: threads, load: load)
        case .posthouse(let path, let executor):
            let program = ChildProgram(
                path: CommandLine.arguments[0],
                arguments: [
                    "measure", path.rawValue, "--executor", executor.rawValue, "--dsn", cluster.dsn(),
                    "--clients", "\(load.clients)", "--seconds", "\(load.seconds)", "--warm-up", "\(load.warmUp)",
                ],
                limit: limit
            )
            return try JSONDecoder().decode(Measurement.self, from: program.run())
        case .python(let peer):
            // The pools of one server do not take the address of several.
            let dsn = peer == .hasql ? cluster.dsn() : cluster.primary.dsn()
            let program = ChildProgram(
                path: "/usr/bin/env",
                arguments: [
                    python, "\(peers)/select1.py", peer.rawValue, dsn, "\(load.clients)", "\(load.seconds)",
                    "\(load.warmUp)",
                ],
                limit: limit
            )
            return try JSONDecoder().decode(Measurement.self, from: program.run())
        }
    }

    private func tell(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }
}

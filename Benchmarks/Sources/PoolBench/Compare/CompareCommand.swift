// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BenchmarkKit
import Foundation

/// All contenders, in interleaved rounds.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Measures our pool and its peers side by side and prints tables."
    )

    @Flag(help: "Everything, but briefly; nothing is written then.")
    var quick = false

    @Option(help: "How many rounds of idle hits and spikes; the medians count.")
    var rounds: Int?

    @Option(help: "How many rounds of callers that hold what they lease.")
    var holdRounds: Int?

    @Option(help: "A Python that has the peers; left out: none.")
    var python: String?

    @Option(help: "The folder with the peers' scripts.")
    var peers = "peers"

    @Option(help: "The class path of HikariCP and of our program for it; left out: none.")
    var java: String?

    @Option(help: "The folder for the results.")
    var output = "results"

    @Option(help: "The compiler's version, for the record.")
    var swiftVersion = "unknown"

    func validate() throws {
        for count in [rounds, holdRounds].compactMap({ $0 }) where !(1...100).contains(count) {
            throw ValidationError("rounds must be from 1 to 100")
        }
    }

    func run() throws {
        var extent = quick ? Extent.quick : Extent.full
        extent.rounds = rounds ?? extent.rounds
        extent.holdRounds = holdRounds ?? extent.holdRounds
        let commands = commands
        var comparison = try PoolComparison(commands.mapValues(\.words), extent: extent)
        try comparison.run()
        let results = try PoolResults(
            comparison,
            versions: commands.compactMapValues(\.version),
            ours: OwnFigures(solo: Solo(program: CommandLine.arguments[0]), extent: extent),
            machine: MachineFacts(swift: swiftVersion, java: javaVersion, python: pythonVersion)
        )
        print(results.report)
        if !quick { try results.write(to: URL(fileURLWithPath: output)) }
    }

    /// How a contender is started, and which version of it that is.
    private struct Command {
        var words: [String]
        var version: String?
    }

    /// Of those who are installed.
    private var commands: [Contender: Command] {
        var commands: [Contender: Command] = [.posthouse: Command(words: [CommandLine.arguments[0], "measure"])]
        if let java {
            let words = ["java", "-cp", java, "HikariPool"]
            if let version = output(of: words + ["version"]) {
                commands[.hikari] = Command(words: words, version: version)
            }
        }
        guard let python else { return commands }
        let packages: [(Contender, module: String, package: String, argument: String)] = [
            (.asyncio, "asyncio_connection_pool", "asyncio-connection-pool", "asyncio-connection-pool"),
            (.psycopg, "psycopg_pool", "psycopg-pool", "psycopg_pool"),
            (.psycopgThreads, "psycopg_pool", "psycopg-pool", "psycopg_pool-threads"),
        ]
        for (contender, module, package, argument) in packages {
            let version = "import importlib.metadata, \(module); print(importlib.metadata.version('\(package)'))"
            guard let version = output(of: [python, "-c", version]) else { continue }
            commands[contender] = Command(words: [python, "\(peers)/pools.py", argument], version: version)
        }
        return commands
    }

    private var pythonVersion: String? {
        python.flatMap { output(of: [$0, "-c", "import platform; print(platform.python_version())"]) }
    }

    /// From the first line of "openjdk 17.0.15 2025-04-15".
    private var javaVersion: String? {
        guard java != nil, let text = output(of: ["java", "--version"]) else { return nil }
        return text.split(whereSeparator: \.isWhitespace).dropFirst().first.map(String.init)
    }

    private func output(of command: [String]) -> String? {
        let program = ChildProgram(path: "/usr/bin/env", arguments: command, limit: 30, isQuiet: true)
        guard let output = try? program.run() else { return nil }
        return String(decoding: output, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

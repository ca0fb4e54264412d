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
        var comparison = try PoolComparison(commands, extent: extent)
        try comparison.run()
        let results = try PoolResults(
            comparison,
            ours: OwnFigures(solo: Solo(program: CommandLine.arguments[0]), extent: extent),
            machine: MachineFacts(swift: swiftVersion, java: javaVersion, python: pythonVersion)
        )
        print(results.report)
        if !quick { try results.write(to: URL(fileURLWithPath: output)) }
    }

    private var commands: [Contender: [String]] {
        var commands: [Contender: [String]] = [.posthouse: [CommandLine.arguments[0], "measure"]]
        if let java { commands[.hikari] = ["java", "-cp", java, "HikariPool"] }
        guard let python else { return commands }
        let modules: [(Contender, module: String, argument: String)] = [
            (.asyncio, "asyncio_connection_pool", "asyncio-connection-pool"),
            (.psycopg, "psycopg_pool", "psycopg_pool"),
            (.psycopgThreads, "psycopg_pool", "psycopg_pool-threads"),
        ]
        for (contender, module, argument) in modules where output(of: [python, "-c", "import \(module)"]) != nil {
            commands[contender] = [python, "\(peers)/pools.py", argument]
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

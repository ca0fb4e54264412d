// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BenchmarkKit
import Foundation
import PosthouseTestKit

/// Primaries are lost one after the other; all contenders live through each loss together.
struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Loses primaries under all contenders at once and prints a table."
    )

    @Option(help: "Crashes, with promotions after 0 s to --longest-wait.")
    var crashes = 30

    @Option(help: "The longest time from a crash to the promotion, in seconds.")
    var longestWait = 30.0

    @Option(help: "Primaries that are frozen under traffic.")
    var freezes = 5

    @Option(help: "Primaries whose packets are dropped under traffic; needs root and iptables.")
    var drops = 5

    @Option(help: "A Python that has hasql.")
    var python: String?

    @Option(help: "The folder with the peers' scripts.")
    var peers = "peers"

    @Option(help: "The folder for the results; nothing is written if it is left out.")
    var output: String?

    @Option(help: "The compiler's version, for the record.")
    var swiftVersion = "unknown"

    func validate() throws {
        guard [crashes, freezes, drops].allSatisfy({ (0...1000).contains($0) }), (0...120).contains(longestWait) else {
            throw ValidationError("counts must be from 0 to 1000, the wait at most 120 s")
        }
    }

    func run() async throws {
        let canDrop = await PacketFilter.isAvailable()
        let filter = drops > 0 && canDrop ? try await PacketFilter.install() : nil
        do {
            let results = try await compare(filter)
            await filter?.remove()
            print(results.report)
            if let output { try results.write(to: URL(fileURLWithPath: output)) }
        } catch {
            await filter?.remove()
            throw error
        }
    }

    private func compare(_ filter: PacketFilter?) async throws -> FailoverResults {
        let table = "CREATE TABLE ledger (id bigint NOT NULL)"
        return try await LocalCluster.withCluster(.init(replicas: 2, setUp: [table])) { servers in
            let version = try await servers.primary.value(of: "SHOW server_version") ?? "unknown"
            var results = FailoverResults(
                measuredOn: Date.now.formatted(.iso8601.year().month().day()),
                machine: MachineFacts(
                    swift: swiftVersion,
                    postgresql: version.split(separator: " ").first.map(String.init) ?? version
                ),
                longestWait: longestWait
            )
            for (number, (strike, wait)) in plan(filter != nil).enumerated() {
                let trial = Trial(servers: servers, filter: filter, strike: strike, wait: .seconds(wait))
                if number > 0 { try await trial.restore() }
                var commands: [Contender: [String]] = [:]
                for contender in Contender.allCases {
                    commands[contender] = contender.command(
                        dsn: servers.dsn(),
                        trial: number,
                        python: python,
                        peers: peers
                    )
                }
                let outcomes = try await trial.run(commands)
                results.add(outcomes, strike: strike, wait: wait)
                tell("\(strike.rawValue) \(number + 1), promotion after \(wait.text(1)) s", outcomes)
            }
            return results
        }
    }

    /// Promotions after all times from none to the longest, in no order.
    private func plan(_ canDrop: Bool) -> [(Strike, wait: Double)] {
        let waits = (0..<crashes).map { longestWait * Double($0) / Double(max(1, crashes - 1)) }.shuffled()
        return waits.map { (.crash, $0) }
            + Array(repeating: (.freeze, 0), count: freezes)
            + Array(repeating: (.drop, 0), count: canDrop ? drops : 0)
    }

    private func tell(_ what: String, _ outcomes: [Contender: Trial.Outcome]) {
        let parts = Contender.allCases.compactMap { contender in
            outcomes[contender].map { outcome in
                "\(contender.rawValue) \(outcome.gap.map { "\($0.text(1)) ms" } ?? "never"), "
                    + "\(outcome.sentToStale) stale, \(outcome.missing) missing, \(outcome.duplicates) twice"
            }
        }
        FileHandle.standardError.write(Data("\(what): \(parts.joined(separator: "; "))\n".utf8))
    }
}

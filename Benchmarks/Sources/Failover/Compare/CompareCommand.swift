// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BenchmarkKit
import Foundation
import PosthouseTestKit

/// Primaries are lost one after the other, each under one contender's application: two cores are few enough for three servers,
/// the tight loop and one application.
struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Loses primaries under the contenders by turns and prints a table."
    )

    @Option(help: "Crashes under ours, with promotions after 0 s to --longest-wait.")
    var crashes = 30

    @Option(help: "Crashes under each of the others, over the same range.")
    var peerCrashes = 15

    @Option(help: "The longest time from a crash to the promotion, in seconds.")
    var longestWait = 30.0

    @Option(help: "Primaries that are frozen under traffic, for each.")
    var freezes = 5

    @Option(help: "Primaries whose packets are dropped under traffic, for each (root, iptables).")
    var drops = 5

    @OptionGroup var options: PeerOptions

    func validate() throws {
        let counts = [crashes, peerCrashes, freezes, drops]
        guard counts.allSatisfy({ (0...1000).contains($0) }), (0...120).contains(longestWait) else {
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
            try options.write(results, as: "failover", and: ["failover.svg": StripPlot(results).svg])
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
                measuredOn: PeerOptions.today,
                machine: MachineFacts(
                    swift: options.swiftVersion,
                    postgresql: version.split(separator: " ").first.map(String.init) ?? version
                ),
                longestWait: longestWait
            )
            for (number, loss) in plan(filter != nil).enumerated() {
                let contender = loss.contender
                let command = contender.command(dsn: servers.dsn(), trial: number, options)
                guard let command else { continue }
                let trial = Trial(servers: servers, filter: filter, strike: loss.strike, wait: .seconds(loss.wait))
                // A trial that is made anew is like the first one.
                try await trial.restore()
                let outcome = try await trial.run(contender, command)
                results.add(outcome, of: contender, strike: loss.strike, wait: loss.wait)
                tell(loss, outcome)
            }
            return results
        }
    }

    /// One loss that is to come.
    private struct Loss {
        var strike: Strike
        var contender: Contender
        /// From the loss to the promotion, in seconds.
        var wait = 0.0
    }

    /// Promotions after all times from none to the longest; contenders and times in no order.
    private func plan(_ canDrop: Bool) -> [Loss] {
        func losses(_ strike: Strike, _ count: (Contender) -> Int) -> [Loss] {
            let losses = Contender.allCases.flatMap { contender in
                (0..<count(contender)).map { number in
                    let share = Double(number) / Double(max(1, count(contender) - 1))
                    return Loss(strike: strike, contender: contender, wait: strike == .crash ? longestWait * share : 0)
                }
            }
            return losses.shuffled()
        }
        return losses(.crash) { $0 == .posthouse ? crashes : min(crashes, peerCrashes) }
            + losses(.freeze) { _ in freezes }
            + losses(.drop) { _ in canDrop ? drops : 0 }
    }

    private func tell(_ loss: Loss, _ outcome: LossOutcome) {
        let loss = "\(loss.strike.rawValue), promotion after \(loss.wait.text(1)) s, \(loss.contender.rawValue)"
        PeerOptions.tell("\(loss): \(outcome)")
    }
}

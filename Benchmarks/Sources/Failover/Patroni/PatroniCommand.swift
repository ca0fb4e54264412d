// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BenchmarkKit
import Foundation
import PosthouseTestKit

/// A cluster whose primary Patroni replaces: in order, and after its death. Each time under one contender's application, which
/// names the servers themselves or an HAProxy in front of them.
struct PatroniCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patroni",
        abstract: "Has Patroni replace the primary, in order and after its death, and tells what applications felt."
    )

    @Option(help: "How many switchovers and how many deaths, for each contender on each route.")
    var losses = 3

    @Option(help: "For how long Patroni believes a leader to live without a word from it, in seconds.")
    var lease = 20

    @OptionGroup var options: PeerOptions

    func validate() throws {
        guard (1...100).contains(losses), (20...120).contains(lease) else {
            throw ValidationError("--losses must be from 1 to 100, --lease from 20 to 120")
        }
    }

    func run() async throws {
        let table = "CREATE TABLE ledger (id bigint NOT NULL)"
        let settings = LocalPatroni.Configuration(synchronous: true, lease: .seconds(lease), setUp: [table])
        var results = PatroniResults(
            measuredOn: PeerOptions.today,
            machine: MachineFacts(swift: options.swiftVersion),
            lease: lease
        )
        try await LocalPatroni.withCluster(settings) { patroni in
            let proxy = LocalHAProxy.isInstalled ? try await LocalHAProxy.start(in: patroni) : nil
            for (number, loss) in plan(hasProxy: proxy != nil).enumerated() {
                let dsn = loss.route == .direct ? patroni.dsn() : proxy?.primaryDSN()
                guard let dsn, let command = command(loss, number, dsn) else { continue }
                let trial = PatroniTrial(patroni: patroni, way: loss.way)
                let outcome = try await trial.run(loss.contender, command)
                results.losses.append(
                    .init(way: loss.way, contender: loss.contender, route: loss.route, outcome: outcome)
                )
                PeerOptions.tell("\(loss.way.rawValue), \(loss.contender.rawValue), \(loss.route.rawValue): \(outcome)")
            }
        }
        print(results.report)
        try options.write(results, as: "patroni")
    }

    private struct Loss {
        var way: PatroniTrial.Way
        var contender: Contender
        var route: PatroniTrial.Route
    }

    /// All of them, in no order.
    private func plan(hasProxy: Bool) -> [Loss] {
        let routes: [PatroniTrial.Route] = hasProxy ? [.direct, .haproxy] : [.direct]
        return PatroniTrial.Way.allCases.flatMap { way in
            let once = Contender.allCases.flatMap { contender in
                routes.map { Loss(way: way, contender: contender, route: $0) }
            }
            return Array(repeating: once, count: losses).flatMap { $0 }.shuffled()
        }
    }

    /// Through the proxy's port for the primary nobody can read from replicas.
    private func command(_ loss: Loss, _ number: Int, _ dsn: String) -> [String]? {
        let readers = loss.route == .direct ? 1 : 0
        return loss.contender.command(dsn: dsn, trial: number, options, readers: readers)
    }
}

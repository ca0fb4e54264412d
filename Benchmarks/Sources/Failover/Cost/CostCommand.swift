// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import BenchmarkKit
import Foundation
import PosthouseTestKit

/// What watching costs while all is well, and what a server that returns has to bear.
struct CostCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cost",
        abstract: "Measures what watching healthy servers costs, and how many connects a returning server gets."
    )

    @Option(help: "How long each is watched, in seconds.")
    var seconds = 20.0

    @Option(help: "How often the only server goes away and comes back.")
    var returns = 7

    @OptionGroup var options: PeerOptions

    func validate() throws {
        guard (1...600).contains(seconds), (1...100).contains(returns) else {
            throw ValidationError("--seconds must be from 1 to 600, --returns from 1 to 100")
        }
    }

    func run() async throws {
        var results = CostResults(
            measuredOn: PeerOptions.today,
            machine: MachineFacts(swift: options.swiftVersion),
            seconds: seconds
        )
        for hosts in [3, 10, 100] {
            let farm = Farm(hosts: hosts)
            try await LocalCluster.withCluster(farm.configuration) { servers in
                for contender in Contender.allCases {
                    guard let command = self.command(contender, farm.dsn(of: servers), callers: 0) else { continue }
                    let cost = try await Watching(servers: servers, seconds: seconds).measure(contender, command, hosts)
                    PeerOptions.tell(cost.description)
                    results.watching.append(cost)
                }
            }
        }
        for callers in [1, 1000] {
            for contender in Contender.allCases {
                let table = "CREATE TABLE ledger (id bigint NOT NULL)"
                try await LocalCluster.withCluster(.init(settings: ["max_connections": "200"], setUp: [table])) {
                    servers in
                    let proxy = try FaultProxy(to: servers.primary)
                    let dsn = "postgresql://postgres@127.0.0.1:\(proxy.port)/postgres"
                    if let command = self.command(contender, dsn, callers: callers) {
                        let hunt = try await Hunting(proxy: proxy, seconds: min(seconds, 4), returns: returns)
                            .measure(contender, command, callers, port: servers.primary.port)
                        PeerOptions.tell(hunt.description)
                        results.hunting.append(hunt)
                    }
                    await proxy.close()
                }
            }
        }
        print(results.report)
        try options.write(results, as: "cost")
    }

    private func command(_ contender: Contender, _ dsn: String, callers: Int) -> [String]? {
        contender.command(dsn: dsn, trial: 0, options, writers: callers, readers: 0)
    }
}

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

    @Option(help: "Primaries lost in each of the other ways, for each; promotions at once or within 3 s.")
    var others = 4

    @Flag(help: "Keep what the results that are there say of losses that are not asked for.")
    var keep = false

    @OptionGroup var options: PeerOptions

    func validate() throws {
        let counts = [crashes, peerCrashes, freezes, drops, others]
        guard counts.allSatisfy({ (0...1000).contains($0) }), (0...120).contains(longestWait) else {
            throw ValidationError("counts must be from 0 to 1000, the wait at most 120 s")
        }
    }

    func run() async throws {
        let former: FailoverResults? = keep ? try options.read("failover") : nil
        let canDrop = await PacketFilter.isAvailable()
        let filter = drops + others > 0 && canDrop ? try await PacketFilter.install() : nil
        do {
            let results = try await compare(filter, former)
            await filter?.remove()
            print(results.report)
            try options.write(results, as: "failover", and: ["failover.svg": StripPlot(results).svg])
        } catch {
            await filter?.remove()
            throw error
        }
    }

    private func compare(_ filter: PacketFilter?, _ former: FailoverResults?) async throws -> FailoverResults {
        let table = "CREATE TABLE ledger (id bigint NOT NULL)"
        return try await LocalCluster.withCluster(.init(replicas: 2, setUp: [table])) { servers in
            let version = try await servers.primary.value(of: "SHOW server_version") ?? "unknown"
            let machine = MachineFacts(
                swift: options.swiftVersion,
                postgresql: version.split(separator: " ").first.map(String.init) ?? version
            )
            var results = FailoverResults(measuredOn: PeerOptions.today, machine: machine, longestWait: longestWait)
            if let former, former.machine != machine {
                throw ValidationError("the results that are there are of another machine: \(former.machine.summary)")
            }
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
            if let former { results.keep(former) }
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

    /// Kind after kind; within one, contenders and times in no order.
    private func plan(_ canFilter: Bool) -> [Loss] {
        Strike.allCases.filter { canFilter || !$0.isOfPackets }.flatMap { strike in
            let losses = Contender.allCases.flatMap { contender in
                let count = count(of: strike, under: contender)
                return (0..<count).map { number in
                    let share = Double(number) / Double(max(1, count - 1))
                    return Loss(strike: strike, contender: contender, wait: wait(strike, share))
                }
            }
            return losses.shuffled()
        }
    }

    private func count(of strike: Strike, under contender: Contender) -> Int {
        switch strike {
        case .crash: contender == .posthouse ? crashes : min(crashes, peerCrashes)
        case .freeze: freezes
        case .drop: drops
        case .kill, .fast, .smart, .reject, .halfOpen, .beside: others
        }
    }

    /// Promotions after a crash come after all times from none to the longest.
    private func wait(_ strike: Strike, _ share: Double) -> Double {
        if strike.isSilent || strike == .beside { return 0 }
        return strike == .crash ? longestWait * share : .random(in: 0...3)
    }

    private func tell(_ loss: Loss, _ outcome: LossOutcome) {
        let loss = "\(loss.strike.rawValue), promotion after \(loss.wait.text(1)) s, \(loss.contender.rawValue)"
        PeerOptions.tell("\(loss): \(outcome)")
    }
}

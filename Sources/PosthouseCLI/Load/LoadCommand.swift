// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Posthouse
import PosthouseReactor

/// `posthouse load`: steady load, and what its users would have felt.
struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Puts steady load on a cluster and reports what users would have felt.",
        discussion: """
            Tells role changes and outages as they happen, then a summary. With --json each is an object on a line of \
            its own.
            """
    )

    enum Executor: String, ExpressibleByArgument, CaseIterable {
        case `default`
        case loop
    }

    @OptionGroup var target: ClusterTarget

    @Option(name: .long, help: "How long.")
    var seconds: Double = 10

    @Option(name: .long, help: "How many clients, each with one statement at a time.")
    var clients: Int = 8

    @Option(name: .long, help: "Where to: \(TargetRole.allCases.map(\.rawValue).joined(separator: ", ")).")
    var role: TargetRole = .primary

    @Option(name: .long, help: "The statement.")
    var query: String = "SELECT 1"

    @Option(name: .long, help: "Where the clients' tasks run: default, or loop for the connections' event loops.")
    var executor: Executor = .default

    @Flag(name: .long, help: "Print JSON, one object a line.")
    var json = false

    func validate() throws {
        guard seconds > 0, seconds.isFinite else { throw ValidationError("--seconds must be more than 0") }
        guard (1...10_000).contains(clients) else { throw ValidationError("--clients must be from 1 to 10000") }
    }

    func run() async throws {
        var configuration = ClusterConfiguration()
        configuration.pool.maximumSize = clients
        let cluster = try target.open(application: "posthouse load", configuration: configuration)
        let report = LoadReport(json: json)
        let events = cluster.events
        let watching = Task {
            for await event in events { report.tell(event) }
        }
        let load = LoadRun(
            clients: clients,
            duration: .seconds(seconds),
            executors: executor == .loop ? try EventLoopGroup.shared.loops : []
        )
        let statement = SQL(raw: query)
        let end = StopSignal()
        let summary: LoadRun.Summary
        do {
            summary = try await Interruption.whileNotInterrupted(stop: end) { [role] in
                await load.run(until: end, code: label, outage: report.tellOutage) { _ in
                    try await cluster.run(on: role) { db in _ = try await db.query(statement) }
                }
            }
        } catch {
            cluster.terminate()
            throw error
        }
        await cluster.close(timeout: .seconds(5))
        await watching.value
        report.tell(summary)
        if end.isSet { throw ExitCode.interrupted }
        if summary.ok == 0 {
            if let error = await Self.lastError(of: cluster) { Console.remark("posthouse load: \(error)") }
            throw StatusCommand.exitCode(for: cluster.snapshot())
        }
    }

    private static func lastError(of cluster: PostgresCluster) async -> String? {
        let reasons = cluster.snapshot().hosts.compactMap { host in host.reason.map { "\(host.host): \($0)" } }
        return reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    }
}

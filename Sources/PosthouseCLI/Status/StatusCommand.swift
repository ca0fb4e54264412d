// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Posthouse

/// `posthouse status`: every host, as the library sees it.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Shows every host of a cluster: its role, its state, and why.",
        discussion: """
            Exit code 0 if there is a primary, 75 if hosts answer but none of them takes writes, 69 if no host could be \
            reached.
            """
    )

    @OptionGroup var target: ClusterTarget

    @Flag(name: .long, help: "Show it again every second, until interrupted.")
    var watch = false

    @Option(name: .long, help: "Seconds to wait for hosts that do not answer.")
    var timeout: Double = 3

    @Flag(name: .long, help: "Print JSON, one object a line.")
    var json = false

    func validate() throws {
        guard timeout > 0, timeout.isFinite else { throw ValidationError("--timeout must be more than 0 seconds") }
    }

    func run() async throws {
        let cluster = try target.open(application: "posthouse status")
        await Self.waitForFirstAnswers(of: cluster, timeout: .seconds(timeout))
        var snapshot = cluster.snapshot()
        show(snapshot)
        if watch {
            try await Interruption.whileNotInterrupted {
                while true {
                    try await Task.sleep(for: .seconds(1))
                    show(cluster.snapshot())
                }
            }
        }
        snapshot = cluster.snapshot()
        cluster.terminate()
        if snapshot.primary == nil { throw Self.exitCode(for: snapshot) }
    }

    private func show(_ snapshot: ClusterSnapshot) {
        let report = StatusReport(snapshot)
        if json {
            Console.output(report.json)
        } else {
            Console.output(report.table)
        }
    }

    /// Waits until each host's first check has ended one way or another.
    private static func waitForFirstAnswers(of cluster: PostgresCluster, timeout: Duration) async {
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline, cluster.snapshot().hosts.contains(where: { $0.state == .unknown }) {
            try? await Task.sleep(for: .milliseconds(5))
        }
    }

    static func exitCode(for snapshot: ClusterSnapshot) -> ExitCode {
        let silent: Set<HostState> = [.unknown, .down, .frozen]
        return snapshot.hosts.allSatisfy { silent.contains($0.state) } ? .noHostReachable : .noPrimary
    }
}

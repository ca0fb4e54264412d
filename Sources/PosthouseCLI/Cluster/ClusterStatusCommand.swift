// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import PosthouseTestKit

/// `posthouse cluster status`: what the servers do.
struct ClusterStatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Shows the nodes of the cluster."
    )

    @OptionGroup var options: ClusterOptions

    func run() async throws {
        try await options.perform("status") {
            let cluster = try await options.open(exclusively: false)
            if !cluster.isIntact {
                Console.remark("The cluster's files are gone, as after a restart of the machine.")
            }
            try await options.show(cluster)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import PosthouseTestKit

/// `posthouse cluster down`: nothing is left.
struct ClusterDownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Ends the cluster and removes its files."
    )

    @OptionGroup var options: ClusterOptions

    func run() async throws {
        try await options.perform("down") {
            Console.remark(try await remove())
            if options.json { Console.output(ClusterReport().json) }
        }
    }

    private func remove() async throws(LocalClusterError) -> String {
        do {
            let cluster = try await LocalCluster.open(at: options.directory)
            try await cluster.shutdown()
            return "The cluster is gone."
        } catch where error.code == .notACluster {
            return "\(error.message) Nothing to do."
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

@main
struct PosthouseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "posthouse",
        abstract: "Connections to the right PostgreSQL server, while servers die and are promoted.",
        subcommands: [
            DSNCommand.self, StatusCommand.self, ExecCommand.self, LoadCommand.self, ClusterCommand.self,
            DemoCommand.self,
        ]
    )
}

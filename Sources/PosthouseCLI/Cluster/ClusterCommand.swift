// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// `posthouse cluster`: a local throwaway cluster for development.
struct ClusterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster",
        abstract: "A local throwaway cluster for development: real servers to stop, kill, freeze and promote.",
        discussion: """
            The servers run in the background until `posthouse cluster down`, which leaves nothing. They come from the \
            PostgreSQL that is installed, listen on loopback only, trust every login from this machine, and do not \
            force anything to disk: not a place for data that matters.
            """,
        subcommands: [
            ClusterUpCommand.self, ClusterDownCommand.self, ClusterStatusCommand.self, ClusterPromoteCommand.self,
            ClusterStopCommand.self, ClusterStartCommand.self, ClusterKillCommand.self, ClusterPauseCommand.self,
            ClusterResumeCommand.self, ClusterRejoinCommand.self,
        ]
    )
}

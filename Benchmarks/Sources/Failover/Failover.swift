// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// What applications feel when a primary is lost, and what watching servers costs: Posthouse and hasql.
@main
struct Failover: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "Failover",
        abstract: "What applications feel when a primary is lost, through Posthouse and through hasql, in one run.",
        subcommands: [CompareCommand.self, PatroniCommand.self, CostCommand.self, ApplyCommand.self]
    )
}

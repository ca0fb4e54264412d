// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// The pool alone, without any server, and its peers, side by side.
@main
struct PoolBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "PoolBench",
        abstract: "The connection pool alone, without any server, and its peers, side by side.",
        subcommands: [CompareCommand.self, MeasureCommand.self]
    )
}

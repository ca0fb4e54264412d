// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// `SELECT 1` through Posthouse and through its peers, side by side.
@main
struct SelectOne: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "SelectOne",
        abstract: "SELECT 1 through Posthouse and through its peers, side by side.",
        subcommands: [CompareCommand.self, MeasureCommand.self]
    )
}

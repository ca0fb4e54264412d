// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "compare")
}

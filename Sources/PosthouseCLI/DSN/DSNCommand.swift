// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import PosthousePostgres

/// `posthouse dsn`: what a connection string means.
struct DSNCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dsn",
        abstract: "Explains a connection string.",
        discussion: """
            Shows the hosts, the user, the database and the parameters that a connection string stands for, completed from \
            the environment and the service file as connections would be. Nothing is connected to, and no password is shown.
            """
    )

    // More than one is an error of ours: the argument parser's would quote it, and it may hold a password.
    @Argument(
        help: ArgumentHelp("A URI (postgresql://...) or, in quotes, keyword=value pairs.", valueName: "dsn")
    )
    var connectionStrings: [String]

    @Flag(name: .long, help: "Print one JSON object.")
    var json = false

    func run() throws {
        guard connectionStrings.count == 1 else {
            Console.remark(
                "posthouse dsn: one connection string is expected and \(connectionStrings.count) are given; put quotes around it"
            )
            throw ExitCode.badUsage
        }
        let explanation: DSNExplanation
        do {
            explanation = DSNExplanation(try ConnectionParameters(connectionStrings[0]))
        } catch {
            Console.remark("posthouse dsn: \(error)")
            throw ExitCode.badUsage
        }
        for notice in explanation.notices { Console.remark("posthouse dsn: \(notice)") }
        if json {
            Console.output(explanation.json)
        } else {
            Console.output(explanation.table)
        }
    }
}

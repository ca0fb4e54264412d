// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Posthouse

/// `posthouse exec`: one statement on a host of a role.
struct ExecCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Runs one SQL statement on the primary, a replica or any host.",
        discussion: """
            Parameters are bound to $1, $2 and so on; they are never spliced into the text.
            Exit code 69 if no host can be reached, 75 if none has the role now, 1 if the statement fails.
            """
    )

    @OptionGroup var target: ClusterTarget

    @Option(name: .long, help: "Where to run it: \(TargetRole.allCases.map(\.rawValue).joined(separator: ", ")).")
    var role: TargetRole = .primary

    @Option(name: .long, help: "Seconds to wait for a connection to a host of that role.")
    var timeout: Double = 5

    @Flag(name: .long, help: "Print one JSON object.")
    var json = false

    @Argument(help: "The statement.")
    var sql: String

    @Argument(help: "Values for $1, $2 and so on.")
    var parameters: [String] = []

    func validate() throws {
        guard timeout >= 0, timeout.isFinite else { throw ValidationError("--timeout must not be negative") }
    }

    func run() async throws {
        let cluster = try target.open(application: "posthouse exec")
        defer { cluster.terminate() }
        let statement = SQL(raw: sql, parameters: parameters)
        do {
            let (host, rows, elapsed) = try await Interruption.whileNotInterrupted { [role, timeout] in
                try await cluster.run(on: role, timeout: .seconds(timeout)) { db in
                    let start = ContinuousClock.now
                    let rows = try await db.query(statement)
                    return (db.host, rows, start.duration(to: .now))
                }
            }
            let result = ExecResult(host: host, role: role, rows: rows, elapsed: elapsed)
            Console.output(json ? result.json.description : result.text)
        } catch let code as ExitCode {
            throw code
        } catch {
            Console.remark("posthouse exec: \(error)")
            throw ExitCode(error)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Posthouse

/// `posthouse demo`: a primary dies under load, and an application hardly notices.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Boots a local cluster, kills its primary under load, and shows what the application felt.",
        discussion: """
            Takes some ten seconds and leaves nothing behind. All servers listen on loopback only and live in a \
            temporary folder.
            """
    )

    @Flag(name: .long, help: "Print JSON, one object a line.")
    var json = false

    func run() async throws {
        let story = DemoStory(json: json)
        do {
            try await Interruption.whileNotInterrupted { try await story.run() }
        } catch let code as ExitCode {
            throw code
        } catch {
            Console.remark("posthouse demo: \(error)")
            throw ExitCode.failed
        }
    }
}

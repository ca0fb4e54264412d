// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// Our own contender: what the comparison asks, and what to run under a profiler.
struct MeasureCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "measure",
        abstract: "Measures one thing and prints a JSON object; for example: measure hit 8 64 1000000.",
        discussion: "Without a question it answers those on standard input, line by line."
    )

    @Argument(help: "One of \(Question.Kind.allCases.map(\.rawValue).joined(separator: ", ")), and its numbers.")
    var question: [String] = []

    func run() async throws {
        var respondent = Respondent()
        guard question.isEmpty else { return try await answer(question, by: &respondent) }
        while let line = readLine() {
            try await answer(line.split(separator: " ").map(String.init), by: &respondent)
        }
    }

    private func answer(_ words: [String], by respondent: inout Respondent) async throws {
        guard let question = Question(words: words) else {
            throw ValidationError("not a question: \(words.joined(separator: " "))")
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let answer = try encoder.encode(try await respondent.answer(question))
        FileHandle.standardOutput.write(answer + Data("\n".utf8))
    }
}

// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation

/// A contender's process: answers one question after the other, and sleeps in between.
final class ContenderProgram {
    private let process = Process()
    private let questions = Pipe()
    private let answers = Pipe()
    private var unread = Data()
    private let name: String

    /// A contender that does not answer for so long is killed.
    private static let limit = 90.0

    /// - Parameter command: The program (found by `PATH`) and its arguments.
    /// - Throws: What Foundation throws if it cannot be started.
    init(_ command: [String]) throws {
        name = command.first ?? ""
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardInput = questions
        process.standardOutput = answers
        // Writing to one who has died is an error to be told, not the end of us.
        signal(SIGPIPE, SIG_IGN)
        ChildProgram.unblockSignals()
        try process.run()
    }

    /// Blocks the thread: nothing else shall run meanwhile.
    ///
    /// - Throws: ``ChildProgram/Failure`` if it ended, or did not answer in time.
    func ask(_ question: Question) throws -> Answer {
        let killer = DispatchWorkItem { [process] in process.terminate() }
        DispatchQueue.global().asyncAfter(deadline: .now() + Self.limit, execute: killer)
        defer { killer.cancel() }
        try questions.fileHandleForWriting.write(contentsOf: Data((question.line + "\n").utf8))
        return try JSONDecoder().decode(Answer.self, from: readLine(answering: question))
    }

    private func readLine(answering question: Question) throws -> Data {
        while true {
            if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
                let line = unread[..<end]
                unread = Data(unread[(end + 1)...])
                return Data(line)
            }
            let more = answers.fileHandleForReading.availableData
            guard !more.isEmpty else {
                throw ChildProgram.Failure(description: "\(name) ended at: \(question.line)")
            }
            unread += more
        }
    }

    /// It ends when there are no more questions.
    func end() {
        try? questions.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization
import Testing

/// A program built beside the tests, running in a process of its own.
final class Child: Sendable {
    private struct State {
        var text = ""
        var status: Int32?
    }

    private let process: Process
    private let input = Pipe()
    private let state = Mutex(State())

    /// Runs a program for the time of `body`, at most.
    static func running<Result>(
        _ program: String,
        _ arguments: [String],
        _ body: (Child) async throws -> Result
    ) async throws -> Result {
        let child = try Child(program, arguments)
        defer { child.send(SIGKILL) }
        return try await body(child)
    }

    private init(_ program: String, _ arguments: [String]) throws {
        process = Process()
        process.executableURL = Bundle.main.bundleURL.appending(path: program)
        process.arguments = arguments
        process.environment = ["HOME": "/nonexistent"]
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        let handle = output.fileHandleForReading
        handle.readabilityHandler = { [weak self] handle in
            let data = handle.availableData
            if data.isEmpty { handle.readabilityHandler = nil }
            self?.state.withLock { $0.text += String(decoding: data, as: UTF8.self) }
        }
        process.terminationHandler = { [weak self] process in
            self?.state.withLock { $0.status = process.terminationStatus }
        }
        try process.run()
    }

    func send(_ signal: Int32) {
        guard process.isRunning else { return }
        kill(process.processIdentifier, signal)
    }

    func type(_ text: String) {
        try? input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
    }

    /// What it has printed so far, whole lines only.
    var lines: [String] {
        let lines = state.withLock { $0.text }.split(separator: "\n", omittingEmptySubsequences: false)
        return lines.dropLast().map(String.init)
    }

    func waitForLine(_ what: Comment, _ condition: (String) -> Bool) async throws {
        try await eventually(what) { lines.contains(where: condition) }
    }

    /// - Returns: How it ended.
    func waitForEnd() async throws -> Int32 {
        try await eventually("the child process ends", within: .seconds(300)) { state.withLock { $0.status } != nil }
        return try #require(state.withLock { $0.status })
    }
}

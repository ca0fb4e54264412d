// SPDX-License-Identifier: Apache-2.0
import Foundation

/// The built `posthouse`, run as a user would.
final class CommandProcess: Sendable {
    private let process: Process
    private let files: URL
    private let ended: Task<Void, Never>

    /// Starts a command with no other environment than this.
    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        files = FileManager.default.temporaryDirectory.appending(path: "posthouse-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = Bundle.main.bundleURL.appending(path: "posthouse")
        process.arguments = arguments
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        process.environment = ["HOME": "/nonexistent", "PATH": path].merging(environment) { $1 }
        // Files, because a pipe would hold up a command that writes more than fits.
        process.standardOutput = try Self.file("output", in: files)
        process.standardError = try Self.file("errors", in: files)
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        process.terminationHandler = { _ in continuation.finish() }
        try process.run()
        self.process = process
        ended = Task { for await _ in stream {} }
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        try? FileManager.default.removeItem(at: files)
    }

    private static func file(_ name: String, in folder: URL) throws -> FileHandle {
        let url = folder.appending(path: name)
        _ = FileManager.default.createFile(atPath: url.path, contents: nil)
        return try FileHandle(forWritingTo: url)
    }

    /// Sends a signal.
    func signal(_ number: Int32) {
        kill(process.processIdentifier, number)
    }

    /// What the command has written so far.
    var output: String { text("output") }
    var errors: String { text("errors") }

    private func text(_ name: String) -> String {
        (try? String(contentsOf: files.appending(path: name), encoding: .utf8)) ?? ""
    }

    /// Waits for its end.
    func end() async -> CommandRun {
        await ended.value
        return CommandRun(status: process.terminationStatus, output: output, errors: errors)
    }
}

/// A command that has ended.
struct CommandRun: Sendable {
    let status: Int32
    let output: String
    let errors: String

    /// Runs a command to its end.
    init(_ arguments: String..., environment: [String: String] = [:]) async throws {
        self = try await CommandProcess(arguments, environment: environment).end()
    }

    init(status: Int32, output: String, errors: String) {
        self.status = status
        self.output = output
        self.errors = errors
    }

    /// The one JSON object on standard output.
    func object() throws -> NSDictionary? {
        try JSONSerialization.jsonObject(with: Data(output.utf8)) as? NSDictionary
    }

    /// The JSON objects on standard output, one a line.
    func objects() throws -> [NSDictionary] {
        try output.split(separator: "\n").compactMap {
            try JSONSerialization.jsonObject(with: Data($0.utf8)) as? NSDictionary
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
import Foundation

/// The built `posthouse`, run as a user would.
struct DSNProcess {
    let status: Int32
    let output: String
    let errors: String

    /// Runs `posthouse dsn` with no other environment than this.
    init(_ arguments: String..., environment: [String: String] = [:]) async throws {
        let process = Process()
        process.executableURL = Bundle.main.bundleURL.appending(path: "posthouse")
        process.arguments = ["dsn"] + arguments
        process.environment = ["HOME": "/nonexistent"].merging(environment) { $1 }
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in continuation.resume() }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        status = process.terminationStatus
        // What the command writes fits a pipe's buffer, so that it ended before anything was read.
        self.output = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        self.errors = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    }

    /// The one JSON object on standard output.
    func object() throws -> NSDictionary? {
        try JSONSerialization.jsonObject(with: Data(output.utf8)) as? NSDictionary
    }
}

// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation
import Synchronization

/// An application in a process of its own.
final class ApplicationProgram: Sendable {
    private struct State {
        /// By port.
        var firstWrites: [Int: UInt64] = [:]
        var report: ApplicationReport?
        var unread = Data()
        var hasEnded = false
    }

    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private let state = Mutex(State())
    private let name: String

    /// - Parameters:
    ///   - name: For errors.
    ///   - command: The program (found by `PATH`) and its arguments.
    /// - Throws: What Foundation throws if it cannot be started.
    init(_ name: String, _ command: [String]) throws {
        self.name = name
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardInput = input
        process.standardOutput = output
        signal(SIGPIPE, SIG_IGN)
        ChildProgram.unblockSignals()
        try process.run()
        // The thread ends with the application.
        Thread.detachNewThread { [self] in
            let handle = output.fileHandleForReading
            while true {
                let data = handle.availableData
                guard !data.isEmpty else { break }
                take(data)
            }
            state.withLock { $0.hasEnded = true }
        }
    }

    var processIdentifier: Int32 { process.processIdentifier }

    /// When it was told of its first write by a server; `CLOCK_MONOTONIC`, in nanoseconds.
    ///
    /// - Returns: `nil` if that did not come within the limit.
    func firstWrite(by port: Int, within limit: Duration) async throws -> UInt64? {
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            let (first, hasEnded) = state.withLock { ($0.firstWrites[port], $0.hasEnded) }
            if let first { return first }
            if hasEnded { throw ChildProgram.Failure(description: "\(name) ended by itself") }
            try await Task.sleep(for: .milliseconds(2))
        }
        return nil
    }

    /// From now on the next write by a server counts as its first.
    func forgetFirstWrites() {
        state.withLock { $0.firstWrites = [:] }
    }

    /// Has it stop. One that does not within the limit is killed, and what it was told is lost.
    func end(within limit: Duration = .seconds(40)) async throws -> ApplicationReport {
        try? input.fileHandleForWriting.close()
        let end = ContinuousClock.now + limit
        while ContinuousClock.now < end {
            let (report, hasEnded) = state.withLock { ($0.report, $0.hasEnded) }
            if let report {
                process.waitUntilExit()
                return report
            }
            if hasEnded { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        kill()
        throw ChildProgram.Failure(description: "\(name) did not tell how it ended")
    }

    func kill() {
        if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
    }

    private func take(_ data: Data) {
        state.withLock { state in
            state.unread += data
            while let end = state.unread.firstIndex(of: UInt8(ascii: "\n")) {
                let line = Data(state.unread[..<end])
                state.unread = Data(state.unread[(end + 1)...])
                let words = String(decoding: line.prefix(100), as: UTF8.self).split(separator: " ")
                if words.first == "first", words.count == 3, let port = Int(words[1]), let time = UInt64(words[2]) {
                    state.firstWrites[port] = state.firstWrites[port] ?? time
                } else if let report = try? JSONDecoder().decode(ApplicationReport.self, from: line) {
                    state.report = report
                }
            }
        }
    }
}

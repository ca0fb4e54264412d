// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A program to be run to its end; its standard error output goes where ours goes.
struct ChildProgram {
    var path: String
    var arguments: [String]
    /// After so many seconds it is killed.
    var limit: Double
    var isQuiet = false

    /// Why a program's output cannot be used.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Waits for its end, blocking the thread.
    ///
    /// - Returns: its standard output.
    /// - Throws: ``Failure`` unless it ends well and in time; what Foundation throws if it cannot be started.
    func run() throws -> Data {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        if isQuiet { process.standardError = FileHandle.nullDevice }
        Self.unblockSignals()
        try process.run()
        let killer = DispatchWorkItem { process.terminate() }
        DispatchQueue.global().asyncAfter(deadline: .now() + limit, execute: killer)
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        killer.cancel()
        guard process.terminationReason == .exit, process.terminationStatus == 0 else {
            let how = process.terminationReason == .exit ? "status" : "signal"
            let program = URL(fileURLWithPath: path).lastPathComponent
            throw Failure(description: "\(program) ended with \(how) \(process.terminationStatus)")
        }
        return data
    }

    /// Swift's threads block signals and a child inherits that: pgbench, which stops by an alarm, would never stop.
    private static func unblockSignals() {
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_UNBLOCK, &all, nil)
    }
}

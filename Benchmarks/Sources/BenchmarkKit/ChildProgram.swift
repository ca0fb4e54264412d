// SPDX-License-Identifier: Apache-2.0

package import Foundation

/// A program to be run to its end; its standard error output goes where ours goes.
package struct ChildProgram {
    package var path: String
    package var arguments: [String]
    /// After so many seconds it is killed.
    package var limit: Double
    package var isQuiet: Bool

    /// Why a program's output cannot be used.
    package struct Failure: Error, CustomStringConvertible {
        package var description: String

        package init(description: String) { self.description = description }
    }

    package init(path: String, arguments: [String], limit: Double, isQuiet: Bool = false) {
        self.path = path
        self.arguments = arguments
        self.limit = limit
        self.isQuiet = isQuiet
    }

    /// Waits for its end, blocking the thread.
    ///
    /// - Returns: its standard output.
    /// - Throws: ``Failure`` unless it ends well and in time; what Foundation throws if it cannot be started.
    package func run() throws -> Data {
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
    package static func unblockSignals() {
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_UNBLOCK, &all, nil)
    }
}

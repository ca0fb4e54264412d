// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// SIGINT and SIGTERM as the cancellation of a task, so that a command can clean up before it ends.
enum Interruption {
    /// Runs `body`; when the process is interrupted, cancels it, waits for its end, and throws exit code 130.
    ///
    /// - Parameter stop: With it, an interruption sets the signal and lets `body` end by itself with a result.
    static func whileNotInterrupted<Result: Sendable>(
        stop: StopSignal? = nil,
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let running = Running<Result>()
        let flag = StopSignal()
        // Before the work begins: from its first moment on there may be something to clean up.
        let sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                flag.set()
                if let stop { stop.set() } else { running.task.withLock { $0 }?.cancel() }
            }
            source.resume()
            return source
        }
        defer {
            for source in sources { source.cancel() }
            for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
        }
        let task = Task { try await body() }
        running.task.withLock { $0 = task }
        if flag.isSet, stop == nil { task.cancel() }
        let result = await task.result
        if flag.isSet, stop == nil { throw ExitCode.interrupted }
        return try result.get()
    }
}

private final class Running<Result: Sendable>: Sendable {
    let task = Mutex<Task<Result, any Error>?>(nil)
}

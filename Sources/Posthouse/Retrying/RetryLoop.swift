// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthouseCluster
import PosthousePool
import PosthousePostgres

/// Runs work until it succeeds, fails for good, or the limits are reached.
struct RetryLoop {
    let limits: RetryLimits

    /// - Parameter attempt: One run on a connection of its own, which it gets within the time that is left. What it throws
    ///   is why there was no connection.
    func run<Value>(
        _ attempt: (_ left: Duration?, _ end: ContinuousClock.Instant?) async throws -> Attempt<Value>
    ) async throws -> Value {
        var schedule = RetrySchedule(limits, now: .now)
        var lastError: (any Error)?
        while true {
            let failure: any Error
            do {
                switch try await attempt(schedule.left(now: .now), schedule.end?.instant) {
                case .succeeded(let value): return value
                case .failed(let error, isSafe: false): throw Passed(error: error)
                case .failed(let error, isSafe: true): failure = error
                }
            } catch let passed as Passed {
                throw passed.error
            } catch {
                guard error is ClusterError || error is PoolError else { throw error }
                guard Self.mayConnectLater(error) else { throw Self.unconnected(error, schedule.attempts, lastError) }
                failure = error
            }
            lastError = failure
            switch schedule.failed(now: .now, random: .random(in: 0...1)) {
            case .giveUp(let code):
                guard schedule.attempts > 1 else { throw failure }
                throw RetryError(code: code, attempts: schedule.attempts, lastError: failure, connectionError: nil)
            case .pause(let pause):
                do {
                    try await Task.sleep(for: pause)
                } catch {
                    throw RetryError(
                        code: .cancelled,
                        attempts: schedule.attempts,
                        lastError: failure,
                        connectionError: nil
                    )
                }
            }
        }
    }

    /// The error of a run that is not to be run again, on its way past those of getting a connection.
    private struct Passed: Error {
        let error: any Error
    }

    /// A lone pool fails the request whose connect fails, and the server may be there again in a moment. A cluster waits by
    /// itself.
    private static func mayConnectLater(_ error: any Error) -> Bool {
        guard let error = error as? PoolError, error.code == .connectFailed else { return false }
        return (error.underlying as? DatabaseError)?.isTransient ?? false
    }

    private static func unconnected(_ error: any Error, _ attempts: Int, _ lastError: (any Error)?) -> any Error {
        guard let lastError else { return error }
        let isCancelled = (error as? ClusterError)?.code == .cancelled || (error as? PoolError)?.code == .cancelled
        return RetryError(
            code: isCancelled ? .cancelled : .noConnection,
            attempts: attempts,
            lastError: lastError,
            connectionError: error
        )
    }
}

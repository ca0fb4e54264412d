// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Steady load by a number of clients, and what their users would have felt.
struct LoadRun: Sendable {
    /// A stretch without a single success is told as an outage from this length on.
    static let outageThreshold = Duration.milliseconds(50)
    /// After a failure a client rests this long, as an application's retry would.
    static let restAfterFailure = Duration.milliseconds(10)

    var clients: Int
    var duration: Duration
    /// Where each client's task runs; `nil` for the default executor.
    var executors: [any TaskExecutor]

    /// What came of it.
    struct Summary: Sendable {
        var ok = 0
        var errors = 0
        var errorsByCode: [String: Int] = [:]
        var elapsed = Duration.zero
        var latency = LatencyHistogram()
        var longestOutage = Duration.zero

        var operationsPerSecond: Double {
            elapsed > .zero ? Double(ok) / (elapsed / .seconds(1)) : 0
        }
    }

    /// Runs `operation` again and again in each client until the time is over, `end` is signalled, or the task is
    /// cancelled.
    ///
    /// - Parameters:
    ///   - code: Names an error for the count of errors.
    ///   - outage: Called when a stretch without success ends.
    func run(
        until end: StopSignal = StopSignal(),
        code: @escaping @Sendable (any Error) -> String,
        outage: @escaping @Sendable (Duration) -> Void,
        operation: @escaping @Sendable (Int) async throws -> Void
    ) async -> Summary {
        let clock = ContinuousClock()
        let start = clock.now
        let deadline = start + duration
        let heartbeat = Heartbeat(start: start)
        let summaries = await withTaskGroup(of: Summary.self) { group in
            for client in 0..<clients {
                let executor = executors.isEmpty ? nil : executors[client % executors.count]
                group.addTask(executorPreference: executor) {
                    var summary = Summary()
                    while !Task.isCancelled, !end.isSet {
                        let began = clock.now
                        guard began < deadline else { break }
                        do {
                            try await operation(client)
                            let now = clock.now
                            summary.ok += 1
                            summary.latency.record(began.duration(to: now))
                            if let gap = heartbeat.beat(at: now), gap >= Self.outageThreshold { outage(gap) }
                        } catch {
                            summary.errors += 1
                            summary.errorsByCode[code(error), default: 0] += 1
                            try? await Task.sleep(for: Self.restAfterFailure)
                        }
                    }
                    return summary
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        var total = Summary()
        let now = clock.now
        for summary in summaries {
            total.ok += summary.ok
            total.errors += summary.errors
            total.errorsByCode.merge(summary.errorsByCode, uniquingKeysWith: +)
            total.latency.merge(summary.latency)
        }
        if let gap = heartbeat.beat(at: now), gap >= Self.outageThreshold, total.errors > 0 || total.ok == 0 {
            outage(gap)
        }
        total.elapsed = start.duration(to: now)
        total.longestOutage = heartbeat.longest
        return total
    }
}

/// Ends a load from outside.
final class StopSignal: Sendable {
    private let flag = Atomic(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
}

/// Keeps the longest time between two successes of anybody.
private final class Heartbeat: Sendable {
    private let start: ContinuousClock.Instant
    /// Nanoseconds since `start`.
    private let last = Atomic<Int64>(0)
    private let longestGap = Atomic<Int64>(0)

    init(start: ContinuousClock.Instant) {
        self.start = start
    }

    var longest: Duration { .nanoseconds(longestGap.load(ordering: .relaxed)) }

    /// - Returns: The time since the last success before this one, or `nil` if a later one was there already.
    func beat(at now: ContinuousClock.Instant) -> Duration? {
        let components = start.duration(to: now).components
        let nanoseconds = components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
        let before = last.exchange(nanoseconds, ordering: .relaxed)
        guard nanoseconds > before else { return nil }
        longestGap.max(nanoseconds - before, ordering: .relaxed)
        return .nanoseconds(nanoseconds - before)
    }
}

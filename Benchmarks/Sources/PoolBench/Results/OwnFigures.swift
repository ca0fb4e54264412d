// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit

/// What is asked of our pool alone.
struct OwnFigures: Codable {
    var priced: Priced
    var allocations: Allocations
    var outage: Outage
    var cancelled: Cancelled
    var waiting: Waiting

    /// One caller's idle hit while nobody else uses the processor's core (``PricedHits``).
    struct Priced: Codable {
        /// The median of the processes that ran undisturbed at least once.
        var pairs: Double
        var nanoseconds: Double
        /// The same over all slices, whoever else was using the core.
        var pairsDisturbed: Double
        /// How many of the slices were undisturbed.
        var undisturbed: Double

        enum CodingKeys: String, CodingKey {
            case pairs = "cas_pairs"
            case nanoseconds = "ns"
            case pairsDisturbed = "cas_pairs_disturbed"
            case undisturbed = "undisturbed_share"
        }
    }

    /// Blocks asked of the allocator.
    struct Allocations: Codable {
        var hits: Int
        var acquireRelease: Int
        var withConnection: Int

        enum CodingKeys: String, CodingKey {
            case hits
            case acquireRelease = "acquire_release"
            case withConnection = "with_connection"
        }
    }

    /// A server that was away, in virtual time.
    struct Outage: Codable {
        var waiters: Int
        var seconds: Double
        var attemptsWhileAway: Int
        var mostConnecting: Int
        var mostConnectingWhenBack: Int
        /// The configuration's limit for both.
        var limitConnecting: Int
        /// After the return.
        var firstGrantSeconds: Double
        /// The configuration's longest back-off step.
        var longestStepSeconds: Double
        var allServedSeconds: Double
        /// Memory with all waiting, at the beginning, and what came on top until the end.
        var residentBytes: Int
        var grownBytes: Int

        enum CodingKeys: String, CodingKey {
            case waiters, seconds
            case attemptsWhileAway = "connects_while_away"
            case mostConnecting = "most_connects_at_once"
            case mostConnectingWhenBack = "most_connects_at_once_when_back"
            case limitConnecting = "limit_of_connects_at_once"
            case firstGrantSeconds = "first_grant_s"
            case longestStepSeconds = "longest_backoff_step_s"
            case allServedSeconds = "all_served_s"
            case residentBytes = "resident_bytes"
            case grownBytes = "grown_bytes"
        }
    }

    /// Requests that began to wait and were cancelled.
    struct Cancelled: Codable {
        var requests: Int
        var residentBytes: Int
        var grownBytes: Int
        var nanosecondsEach: Double

        enum CodingKeys: String, CodingKey {
            case requests
            case residentBytes = "resident_bytes"
            case grownBytes = "grown_bytes"
            case nanosecondsEach = "ns_each"
        }
    }

    /// Memory of those who wait.
    struct Waiting: Codable {
        var callers: Int
        /// Its task, its frames and its place in the queue.
        var bytesEach: Double
        /// A task that waits for nothing but a gate.
        var bytesTask: Double

        enum CodingKeys: String, CodingKey {
            case callers
            case bytesEach = "bytes_each"
            case bytesTask = "bytes_of_a_bare_task"
        }
    }
}

extension OwnFigures {
    private static let allocatingHits = 1_000_000

    init(solo: Solo, extent: Extent) throws {
        priced = Priced(try (0..<extent.pricedProcesses).map { _ in try solo.ask(Question(.priced, 64, 4000)) })
        let counted = try solo.ask(Question(.allocations, Double(Self.allocatingHits)))
        allocations = Allocations(
            hits: Self.allocatingHits,
            acquireRelease: counted.count("hit"),
            withConnection: counted.count("scoped")
        )
        let away = Question(.outage, 10_000, 60)
        outage = Outage(away, try solo.ask(away))
        let left = try solo.ask(Question(.cancelled, extent.cancelled, 10_000))
        cancelled = Cancelled(
            requests: Int(extent.cancelled),
            residentBytes: left.count("before_bytes"),
            grownBytes: left.count("grown_bytes"),
            nanosecondsEach: left.figure("ns").rounded()
        )
        waiting = Waiting(
            callers: Int(extent.waiting),
            bytesEach: try solo.ask(Question(.waiting, extent.waiting)).figure("bytes").rounded(),
            bytesTask: try solo.ask(Question(.suspended, extent.waiting)).figure("bytes").rounded()
        )
    }
}

extension OwnFigures.Priced {
    /// - Parameter answers: Of several processes, whose memory lies differently.
    fileprivate init(_ answers: [Answer]) {
        let fastest = answers.map { $0.figure("units") }.min() ?? .nan
        let undisturbed = answers.filter { $0.figure("units") <= fastest * PricedHits.tolerance }
        pairs = undisturbed.map { $0.figure("pairs") }.median.rounded(to: 2)
        nanoseconds = undisturbed.map { $0.figure("ns") }.median.rounded(to: 1)
        pairsDisturbed = answers.map { $0.figure("pairs_disturbed") }.median.rounded(to: 2)
        self.undisturbed = (undisturbed.map { $0.figure("undisturbed") }.reduce(0, +) / Double(answers.count))
            .rounded(to: 3)
    }
}

extension OwnFigures.Outage {
    fileprivate init(_ question: Question, _ answer: Answer) {
        waiters = question.count(0)
        seconds = question.numbers[1]
        attemptsWhileAway = answer.count("attempts_while_away")
        mostConnecting = answer.count("most_connecting")
        mostConnectingWhenBack = answer.count("most_connecting_when_back")
        limitConnecting = answer.count("limit_connecting")
        firstGrantSeconds = answer.figure("first_grant_s")
        longestStepSeconds = answer.figure("longest_step_s")
        allServedSeconds = answer.figure("all_served_s")
        residentBytes = answer.count("before_bytes")
        grownBytes = answer.count("grown_bytes")
    }
}

extension Answer {
    /// `nan` if it is not there.
    fileprivate func figure(_ name: String) -> Double { self[name] ?? .nan }
    /// -1 if it is not there.
    fileprivate func count(_ name: String) -> Int { self[name].map { Int($0) } ?? -1 }
}

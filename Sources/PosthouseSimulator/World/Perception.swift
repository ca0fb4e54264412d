// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePool

/// What the cluster was told of its hosts and what it makes of that, step by step.
///
/// Hosts are addresses here: which server is behind one is not known to the cluster. What it may make of them, and what it may
/// not, is in `Perception+Promises.swift`.
struct Perception {
    /// Who asked a question.
    enum Asker {
        case monitor, pool, user
    }

    /// What the cluster was told to go by, in nanoseconds.
    struct Rules {
        /// How long an answer speaks for its host.
        var evidenceLife: Int64 = 5_000_000_000
        /// The most that a check may take.
        var checkTimeout: Int64 = 1_000_000_000
        /// How long the first election waits for hosts that do not answer.
        var grace: Int64 = 500_000_000
        /// Whether the highest timeline wins, without a question.
        var followsTimelines = true
    }

    /// What one run of a server has said so far.
    struct Run {
        let incarnation: Int64
        private var hasLeftRecovery = false
        private var timeline: UInt32 = 0

        init(_ incarnation: Int64) {
            self.incarnation = incarnation
        }

        /// - Returns: Whether it has said something newer before.
        mutating func note(_ report: HostReport) -> Bool {
            let told = report.timeline ?? timeline
            defer {
                hasLeftRecovery = hasLeftRecovery || !report.isInRecovery
                timeline = max(timeline, told)
            }
            return hasLeftRecovery && report.isInRecovery || told < timeline
        }
    }

    struct Host {
        /// Whether it is one of the cluster's, and since when that is so.
        var isMember = true
        var changedAt: Int64 = 0
        /// Its leases are void, too.
        var isCutOff = false
        var drainedAt: Int64?

        // What was answered.

        /// Checks in a row that met silence, or that lost a session which had not answered anything yet.
        var misses = 0
        /// The last check met the proof that there is no server.
        var isRefused = false
        /// Whether the last check was answered.
        var answersChecks = false
        /// Whether anything is known of it, good or bad.
        var isHeard = false
        var report: HostReport?
        var reportedAt = Int64.min
        /// What was said by the run of the server that its checks know.
        var run: Run?
        /// Whether that had said something newer before.
        var isOvertaken = false
        /// When the last question was asked that was answered by a server; another run is always news.
        var askedAt = Int64.min
        /// When the last check began that failed.
        var failureAskedAt = Int64.max
        /// When anything was answered, and when a user's statement was.
        var livedAt: Int64 = 0
        var servedUserAt = Int64.min

        // What the cluster makes of it.

        var services: ServiceClass = []
        /// Since when it serves reads.
        var readsSince = Int64.max
        /// When all its services were withdrawn.
        var withdrawnAt = Int64.min
        /// Since when it is out, by proof.
        var outAt: Int64?
        /// When it went out, each time.
        var outages: [Int64] = []
        /// Until when it is held down.
        var heldUntil: Int64?
    }

    var rules = Rules()
    var hosts: [Host]
    /// The hosts that take writes.
    var writers: Set<Int> = []
    /// Who took them last.
    var lastWriter: Int?
    /// What the operator decided against.
    var rejected: ClosedRange<UInt32>?

    init(addresses count: Int) {
        hosts = Array(repeating: Host(), count: count)
    }

    func isMember(_ address: Int) -> Bool { hosts[address].isMember }
    func isDrained(_ address: Int) -> Bool { hosts[address].drainedAt != nil }

    var members: [Int] { hosts.indices.filter { hosts[$0].isMember } }

    // MARK: - What the operator tells the cluster

    /// - Parameter isCutOff: Whether leases of it are void at once.
    mutating func removed(_ address: Int, isCutOff: Bool, at now: Int64) {
        hosts[address] = Host(isMember: false, changedAt: now, isCutOff: isCutOff)
    }

    mutating func added(_ address: Int, at now: Int64) {
        hosts[address] = Host(changedAt: now)
    }

    mutating func drained(_ address: Int, at now: Int64) {
        if hosts[address].drainedAt == nil { hosts[address].drainedAt = now }
    }

    mutating func undrained(_ address: Int) {
        hosts[address].drainedAt = nil
    }

    // MARK: - What it is answered

    mutating func answered(_ address: Int, _ asker: Asker, at now: Int64) {
        hosts[address].livedAt = now
        if asker == .user { hosts[address].servedUserAt = now }
    }

    mutating func answered(_ address: Int, _ report: HostReport, _ asker: Asker, asked: Int64, at now: Int64) {
        hosts[address].livedAt = now
        hosts[address].isHeard = true
        if asker == .monitor {
            hosts[address].misses = 0
            hosts[address].isRefused = false
            hosts[address].answersChecks = true
        }
        hosts[address].report = report
        hosts[address].reportedAt = now
        hosts[address].isOvertaken = false
        guard let incarnation = report.incarnation else { return }
        let isKnown = incarnation == hosts[address].run?.incarnation
        hosts[address].askedAt = isKnown || asker == .monitor ? max(hosts[address].askedAt, asked) : now
        // A new connection may lead to another server than the one of the checks.
        let isTaken = asker == .monitor || hosts[address].outAt != nil || hosts[address].run == nil
        if !isKnown, isTaken { hosts[address].run = Run(incarnation) }
        if isKnown || isTaken { hosts[address].isOvertaken = hosts[address].run?.note(report) ?? false }
    }

    mutating func failed(
        _ address: Int,
        _ kind: SimulatedError.Kind,
        _ asker: Asker,
        isFirst: Bool,
        asked: Int64,
        at now: Int64
    ) {
        if kind == .busy || kind == .readOnly { hosts[address].livedAt = now }
        guard asker == .monitor else { return }
        hosts[address].isRefused = kind == .refused
        hosts[address].answersChecks = false
        hosts[address].failureAskedAt = asked
        if kind != .exhausted { hosts[address].isHeard = true }
        if kind == .timedOut || kind == .lost && isFirst { hosts[address].misses += 1 }
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster

/// What the servers saw, and what they should not have seen.
struct Tally {
    /// Of one host, within the second that runs.
    private struct Rate {
        var second: Int64 = 0
        var count = 0
        var most = 0

        mutating func note(at now: Int64) {
            let second = now / 1_000_000_000
            if second != self.second { (self.second, count) = (second, 0) }
            count += 1
            most = max(most, count)
        }
    }

    private var monitorConnects: [Rate]
    private var poolConnects: [Rate]
    private var probes: [Rate]
    private(set) var violations: [String] = []
    /// Promotions.
    var failovers = 0
    private(set) var statements = 0
    /// The timeline of the server that was sent the last write.
    private var lastWritten: UInt32 = 0

    init(hosts: Int) {
        monitorConnects = Array(repeating: Rate(), count: hosts)
        poolConnects = monitorConnects
        probes = monitorConnects
    }

    var mostMonitorConnects: Int { monitorConnects.map(\.most).max() ?? 0 }
    var mostPoolConnects: Int { poolConnects.map(\.most).max() ?? 0 }
    var mostProbes: Int { probes.map(\.most).max() ?? 0 }

    mutating func violate(_ what: String, at now: Int64) {
        // The first few tell the story.
        if violations.count < 20 { violations.append("at \(Double(now) / 1_000_000_000) s: \(what)") }
    }

    mutating func connect(to host: Int, for purpose: ConnectionPurpose, at now: Int64) {
        if purpose == .monitor { monitorConnects[host].note(at: now) } else { poolConnects[host].note(at: now) }
    }

    mutating func probe(of host: Int, at now: Int64) {
        probes[host].note(at: now)
    }

    /// Writes may go back to before those timelines.
    mutating func reject(_ timelines: ClosedRange<UInt32>) {
        lastWritten = min(lastWritten, timelines.lowerBound - 1)
    }

    /// A statement leaves the process.
    mutating func send(
        to index: Int,
        _ host: SimulatedHost,
        isWrite: Bool,
        isKnownAsPrimary: Bool,
        _ evidence: Evidence,
        at now: Int64
    ) {
        statements += 1
        let known = evidence.settled(at: now)
        // A replica on an older timeline may be read from, and it cannot be known at once that it was promoted.
        let isConcerned = !host.isInRecovery && (isWrite || isKnownAsPrimary)
        if isConcerned, host.timeline < known {
            let there = "host \(index) on timeline \(host.timeline)"
            violate("a statement went to \(there), and evidence of \(known) had come before", at: now)
        }
        guard isWrite, !host.isInRecovery else { return }
        if host.timeline < lastWritten {
            violate("a write went to timeline \(host.timeline) after one to \(lastWritten)", at: now)
        }
        lastWritten = max(lastWritten, host.timeline)
    }
}

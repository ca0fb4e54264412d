// SPDX-License-Identifier: Apache-2.0

/// The highest timeline that a server's answer has brought to this process, and since when.
struct Evidence {
    private var timeline: UInt32 = 0
    private var at: Int64 = 0
    private var before: UInt32 = 0
    /// Timelines that were decided against.
    private var rejected: ClosedRange<UInt32>?
    private struct Way: Hashable {
        var address: Int
        var host: Int
    }

    /// Since when it is known of a host that it is no replica. What it said at one address is not known of another.
    private var primaries: [Way: Int64] = [:]

    mutating func note(_ timeline: UInt32, at now: Int64) {
        guard timeline > self.timeline, rejected?.contains(timeline) != true else { return }
        if at < now { before = self.timeline }
        (self.timeline, at) = (timeline, now)
    }

    mutating func reject(_ timelines: ClosedRange<UInt32>) {
        rejected = timelines
        timeline = min(timeline, timelines.lowerBound - 1)
        before = min(before, timelines.lowerBound - 1)
    }

    mutating func note(isInRecovery: Bool, of host: Int, at address: Int, now: Int64) {
        let way = Way(address: address, host: host)
        if isInRecovery { primaries[way] = nil } else if primaries[way] == nil { primaries[way] = now }
    }

    /// Whether the last answer of the host said that it is no replica.
    func knowsAsPrimary(_ host: Int, at address: Int, now: Int64) -> Bool {
        primaries[Way(address: address, host: host)].map { $0 < now } ?? false
    }

    /// What every task of the process could have acted upon: what came in this very moment is still being worked on.
    func settled(at now: Int64) -> UInt32 { at < now ? timeline : before }
}

// SPDX-License-Identifier: Apache-2.0

/// Where the primary was when, so that a replica's position can be told as a time. A pure value.
///
/// The replica's own clock is not asked: `now() - pg_last_xact_replay_timestamp()` grows on an idle primary, and compares
/// two machines' clocks.
struct LagMeter: Sendable {
    private struct Mark {
        /// From then on, or from a moment before it was told, the primary was beyond what it had told before.
        var at: ContinuousClock.Instant
        var position: UInt64
    }

    /// The longest time between two questions that the primary answered for which the second answer tells when it wrote: that it
    /// was just now. After a longer one it may have been at once.
    private let longestGap: Duration
    private var lastAsked: ContinuousClock.Instant?

    /// In the order of time and position. When there are too many, every other one of the older half goes: the past gets
    /// coarser the longer ago it is.
    private var marks: [Mark] = []
    private var timeline: UInt32?
    static let most = 256

    init(longestGap: Duration) {
        self.longestGap = longestGap
    }

    /// The newest known position of the primary.
    var written: UInt64? { marks.last?.position }

    /// The primary said where it is.
    ///
    /// - Parameter asked: When it was asked: all that was committed before is below `position`.
    mutating func noteWritten(_ position: UInt64, timeline: UInt32?, asked: ContinuousClock.Instant) {
        if timeline != self.timeline {
            // What the former primary wrote last may never have reached this one.
            marks.removeAll { $0.position > position }
            self.timeline = timeline
        }
        let before = lastAsked ?? asked
        lastAsked = max(before, asked)
        if let last = marks.last {
            // A position that was known before says nothing new; one that was overtaken on its way neither.
            guard position > last.position, asked > before else { return }
        }
        let isGap = before.duration(to: asked) > longestGap
        marks.append(Mark(at: isGap ? before : asked, position: position))
        if marks.count > Self.most { thin() }
    }

    private mutating func thin() {
        let older = marks.count / 2
        var kept: [Mark] = []
        for (index, mark) in marks.enumerated() where index >= older || index.isMultiple(of: 2) { kept.append(mark) }
        marks = kept
    }

    /// How far a replica at this position is behind.
    ///
    /// - Parameter asked: When the replica was asked: what the primary wrote later does not count as time.
    /// - Returns: nil if that cannot be told: nothing is known of a primary, or the replica is on an older timeline.
    func lag(replayed: UInt64?, timeline: UInt32?, asked: ContinuousClock.Instant) -> ReplicaLag? {
        guard let replayed, let last = marks.last else { return nil }
        if let ours = self.timeline, let theirs = timeline, theirs < ours { return nil }
        let bytes = last.position > replayed ? last.position - replayed : 0
        // The first mark beyond the replica.
        var low = 0
        var high = marks.count
        while low < high {
            let middle = (low + high) / 2
            if marks[middle].position > replayed { high = middle } else { low = middle + 1 }
        }
        guard low < marks.count, marks[low].at < asked else { return ReplicaLag(bytes: bytes, time: .zero) }
        return ReplicaLag(bytes: bytes, time: marks[low].at.duration(to: asked))
    }
}

// SPDX-License-Identifier: Apache-2.0

/// What was ever written, as PostgreSQL keeps it: each promotion forks a timeline off at a position, and each timeline has
/// one writer. Positions count records, over all timelines of a path.
struct TimelineHistory {
    private struct Branch {
        let parent: UInt32
        let fork: UInt64
        var ids: [UInt64] = []
    }

    /// Timeline 1 comes first.
    private var branches = [Branch(parent: 0, fork: 0)]

    /// The highest timeline.
    var highest: UInt32 { UInt32(branches.count) }

    /// - Returns: The position after it.
    mutating func append(_ id: UInt64, on timeline: UInt32) -> UInt64 {
        branches[Int(timeline) - 1].ids.append(id)
        return end(of: timeline)
    }

    func end(of timeline: UInt32) -> UInt64 {
        let branch = branches[Int(timeline) - 1]
        return branch.fork + UInt64(branch.ids.count)
    }

    /// A promotion.
    mutating func fork(off timeline: UInt32, at position: UInt64) -> UInt32 {
        branches.append(Branch(parent: timeline, fork: position))
        return highest
    }

    /// How far what was written up to `position` of `timeline` is also part of `other`.
    func common(_ timeline: UInt32, _ position: UInt64, with other: UInt32) -> (timeline: UInt32, position: UInt64) {
        var (timeline, position) = (timeline, position)
        while true {
            if let limit = limit(of: timeline, in: other) { return (timeline, min(position, limit)) }
            let branch = branches[Int(timeline) - 1]
            position = min(position, branch.fork)
            timeline = branch.parent
        }
    }

    /// Up to where the timeline belongs to the history of the other one; nil if it does not.
    private func limit(of timeline: UInt32, in other: UInt32) -> UInt64? {
        var (at, limit) = (other, UInt64.max)
        while at != 0 {
            if at == timeline { return limit }
            limit = min(limit, branches[Int(at) - 1].fork)
            at = branches[Int(at) - 1].parent
        }
        return nil
    }

    /// All that was written up to that position, the latest first.
    func ids(of timeline: UInt32, upTo position: UInt64) -> [UInt64] {
        var ids: [UInt64] = []
        var (at, end) = (timeline, position)
        while at != 0 {
            let branch = branches[Int(at) - 1]
            if end > branch.fork { ids += branch.ids.prefix(Int(end - branch.fork)).reversed() }
            end = min(end, branch.fork)
            at = branch.parent
        }
        return ids
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import PosthousePool

/// The hosts in turn, in proportion to their weights; exactly fair among those that can serve.
///
/// A host that is down takes no turn, and its turns are not its neighbour's: those that are left go on in turn. One that
/// comes back begins where the others are, makes up for nothing, and skips turns at first
/// (``BalancingCandidate/slowStart``). Reads, writes and what may go anywhere are counted apart. Make one for
/// each cluster.
public final class RoundRobinBalancing: BalancingPolicy {
    /// The turns, counted in each host's share: whoever has taken the least is next.
    private struct Turns {
        var taken: [String: Double] = [:]
        /// What the last one that was chosen had taken before. All who could serve all the time have taken as much, or one turn
        /// more.
        var reached = 0.0
    }

    private let turns = Guarded<[ServiceClass: Turns]>([:])

    /// A policy that begins with the first host.
    public init() {}

    /// Whoever is next.
    public func choose(
        among candidates: [BalancingCandidate],
        for services: ServiceClass,
        random: () -> Double
    ) -> Int? {
        turns.withLock { turns in
            var mine = turns[services] ?? Turns()
            var next: (index: Int, taken: Double)?
            for (index, candidate) in candidates.enumerated() {
                // No more ahead than by what one turn costs now: its share may have grown since the last one.
                let most = mine.reached + Self.cost(of: candidate)
                if let taken = mine.taken[candidate.host], taken > most { mine.taken[candidate.host] = most }
                let taken = max(mine.taken[candidate.host] ?? mine.reached, mine.reached)
                if let next, next.taken <= taken { continue }
                next = (index, taken)
            }
            guard let next else { return nil }
            let candidate = candidates[next.index]
            mine.reached = next.taken
            mine.taken[candidate.host] = next.taken + Self.cost(of: candidate)
            turns[services] = mine
            return next.index
        }
    }

    private static func cost(of candidate: BalancingCandidate) -> Double {
        let share = candidate.weight * candidate.slowStart
        return share > 0 ? 1 / share : 1
    }
}

extension BalancingPolicy where Self == RoundRobinBalancing {
    /// The hosts in turn. See ``RoundRobinBalancing``.
    public static var roundRobin: RoundRobinBalancing { RoundRobinBalancing() }
}

// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// The host with the most free connections, idle or not yet opened, times its weight; a random one among equals.
///
/// A host that came back has all of them free. It is left out as often as its share is short
/// (``BalancingCandidate/slowStart``), or it would get everything.
///
/// The default. Without weights and zones it is the pool that chooses, which costs nothing.
public struct GreedyBalancing: BalancingPolicy {
    /// The policy.
    public init() {}

    /// The most free one.
    public func choose(
        among candidates: [BalancingCandidate],
        for services: ServiceClass,
        random: () -> Double
    ) -> Int? {
        var best: Int?
        var most = 0.0
        var ties = 0.0
        for index in candidates.partakers(random: random) {
            let candidate = candidates[index]
            // Where all are in use weights mean nothing: whichever comes back first will serve.
            let free = Double(max(0, candidate.free)) * candidate.weight
            if best != nil, free < most { continue }
            ties = best != nil && free == most ? ties + 1 : 1
            if ties > 1, random() * ties >= 1 { continue }
            best = index
            most = free
        }
        return best
    }
}

extension BalancingPolicy where Self == GreedyBalancing {
    /// The host with the most free connections. See ``GreedyBalancing``.
    public static var greedy: GreedyBalancing { GreedyBalancing() }
}

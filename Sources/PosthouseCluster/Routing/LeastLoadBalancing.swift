// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// Of two hosts drawn at random the one with less load: how long its connections were in use lately, on average, times how
/// many are in use, this one included, divided by its weight.
///
/// Two, and not all: many clients that all know the least loaded host would all go there. What counts is what users felt, not
/// what a health check did, and a host that hangs is left as soon as connections to it do not come back.
public struct LeastLoadBalancing: BalancingPolicy {
    /// The policy.
    public init() {}

    /// It lives on that.
    public var measuresUse: Bool { true }

    /// The less loaded of two.
    public func choose(
        among candidates: [BalancingCandidate],
        for services: ServiceClass,
        random: () -> Double
    ) -> Int? {
        guard candidates.count > 1 else { return candidates.indices.first }
        guard let first = WeightedBalancing.uniform(candidates.count, random: random),
            let other = WeightedBalancing.uniform(candidates.count - 1, random: random)
        else { return nil }
        let second = other < first ? other : other + 1
        // One that nobody has used yet is taken for as fast as the faster one: only those in use tell them apart.
        let known = [candidates[first].averageUse, candidates[second].averageUse].compactMap { $0 }.min()
        func load(_ index: Int) -> Double {
            let candidate = candidates[index]
            let use = max((candidate.averageUse ?? known ?? .milliseconds(1)) / .milliseconds(1), 0.001)
            return use * Double(candidate.inUse + 1) / (candidate.weight > 0 ? candidate.weight : 1)
        }
        return load(second) < load(first) ? second : first
    }
}

extension BalancingPolicy where Self == LeastLoadBalancing {
    /// The less loaded of two random hosts. See ``LeastLoadBalancing``.
    public static var leastLoad: LeastLoadBalancing { LeastLoadBalancing() }
}

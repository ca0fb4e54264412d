// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// Of two hosts drawn at random the one with less load: how long its statements took lately, on average, times how many of its
/// connections are in use, this one included, divided by its weight.
///
/// Two, and not all: many clients that all know the least loaded host would all go there. What counts is what users felt, not
/// what a health check did, nor how long they thought between two statements; and a host that hangs is left as soon as
/// connections to it do not come back. One that came back is drawn as often as its share allows
/// (``BalancingCandidate/slowStart``). One choice of 32 does not look at the load, so that a host that was slow once is measured
/// again. With a driver that measures no answers it is how long connections were in use that counts.
public struct LeastLoadBalancing: BalancingPolicy {
    /// How often the first of the two is taken as it is.
    private static let exploration = 1.0 / 32

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
        let partakers = candidates.partakers(random: random)
        guard partakers.count > 1 else { return partakers.first }
        let explores = random() < Self.exploration
        guard let one = WeightedBalancing.uniform(partakers.count, random: random),
            let other = WeightedBalancing.uniform(partakers.count - 1, random: random)
        else { return nil }
        let (first, second) = (partakers[one], partakers[other < one ? other : other + 1])
        let isMeasured = candidates.contains { $0.averageResponse != nil }
        func average(_ index: Int) -> Duration? {
            isMeasured ? candidates[index].averageResponse : candidates[index].averageUse
        }
        // Whoever lost once would never be measured again, and be taken for slow for ever.
        if explores { return first }
        // One that nobody has used yet is taken for as fast as the faster one: only those in use tell them apart.
        let known = [average(first), average(second)].compactMap { $0 }.min()
        func load(_ index: Int) -> Double {
            let candidate = candidates[index]
            let time = max((average(index) ?? known ?? .milliseconds(1)) / .milliseconds(1), 0.001)
            return time * Double(candidate.inUse + 1) / (candidate.weight > 0 ? candidate.weight : 1)
        }
        return load(second) < load(first) ? second : first
    }
}

extension BalancingPolicy where Self == LeastLoadBalancing {
    /// The less loaded of two random hosts. See ``LeastLoadBalancing``.
    public static var leastLoad: LeastLoadBalancing { LeastLoadBalancing() }
}

// SPDX-License-Identifier: Apache-2.0

public import PosthousePool

/// A random host, each with a probability in proportion to a number that is computed for it, times its weight, times how warm
/// it is (``BalancingCandidate/slowStart``).
///
/// If one of these numbers is not finite, or negative, or all are 0, only the hosts' weights count: one host whose number
/// makes no sense says that they cannot be compared.
public struct WeightedBalancing: BalancingPolicy {
    /// Whether the shares depend on the hosts' use.
    public let measuresUse: Bool
    private let share: @Sendable (BalancingCandidate) -> Double

    /// A policy of one's own.
    ///
    /// - Parameters:
    ///   - measuresUse: Whether `share` looks at the candidates' use. Default: false.
    ///   - share: How much the host should get; only the ratios count.
    public init(measuresUse: Bool = false, share: @escaping @Sendable (BalancingCandidate) -> Double) {
        self.measuresUse = measuresUse
        self.share = share
    }

    /// In inverse proportion to the median response time of the last health checks. While that of one host is unknown or
    /// zero, only the hosts' weights count.
    public static let byResponseTime = WeightedBalancing { candidate in
        candidate.medianCheck.map { 1 / ($0 / .milliseconds(1)) } ?? .nan
    }

    /// A random one, by shares.
    public func choose(
        among candidates: [BalancingCandidate],
        for services: ServiceClass,
        random: () -> Double
    ) -> Int? {
        var shares = candidates.map(share)
        // Scaled by the largest, so that their sum is finite.
        let largest = shares.max() ?? 0
        if shares.allSatisfy({ $0.isFinite && $0 >= 0 }), largest > 0 {
            shares = zip(shares, candidates).map { $0 / largest * $1.weight * $1.slowStart }
        } else {
            shares = candidates.map { $0.weight * $0.slowStart }
        }
        return Self.draw(shares, random: random)
    }

    /// An index, each with a probability in proportion to its share; uniform if all are 0.
    static func draw(_ shares: [Double], random: () -> Double) -> Int? {
        guard let last = shares.lastIndex(where: { $0 > 0 }) else { return uniform(shares.count, random: random) }
        var rest = random() * shares.reduce(0, +)
        for index in shares.indices where shares[index] > 0 {
            // Strictly: a draw of 0 is the first one's, not that of one without a share.
            if rest < shares[index] { return index }
            rest -= shares[index]
        }
        return last
    }

    static func uniform(_ count: Int, random: () -> Double) -> Int? {
        count == 0 ? nil : min(Int(random() * Double(count)), count - 1)
    }
}

extension BalancingPolicy where Self == WeightedBalancing {
    /// A random host, one that answers health checks in half the time twice as often. See
    /// ``WeightedBalancing/byResponseTime``.
    public static var randomWeighted: WeightedBalancing { .byResponseTime }
}

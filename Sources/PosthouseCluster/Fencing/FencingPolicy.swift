// SPDX-License-Identifier: Apache-2.0

/// What to do when a higher timeline appears although the primary still answers: a failover that the old primary has not
/// noticed, or a promotion by mistake. From here they look the same.
///
/// A primary that does not answer any more has no say, under any policy: the highest timeline is followed. So it is at the
/// first election of a process. Nothing is sent to the old primary from the moment that the higher timeline was seen.
public struct FencingPolicy: Sendable {
    enum Kind: Sendable {
        case follow
        case witness(any PrimaryWitness)
        case refuse
    }

    let kind: Kind

    /// The highest timeline wins at once. The default.
    public static let follow = FencingPolicy(kind: .follow)

    /// The witness decides. It is asked also when hosts claim to be the primary on the same timeline and nothing else decides.
    ///
    /// It has ``ClusterConfiguration/refreshTimeout`` to answer. As long as it does not answer, or names a host that does not
    /// claim to be the primary, no write goes anywhere, and it is asked again every second; until only one of the claimants
    /// answers, or ``Cluster/adoptPrimary(_:)`` decides.
    public static func witness(_ witness: any PrimaryWitness) -> FencingPolicy {
        FencingPolicy(kind: .witness(witness))
    }

    /// No write goes anywhere until the old primary stops to answer or to claim that it is one, or until
    /// ``Cluster/adoptPrimary(_:)`` decides.
    public static let refuse = FencingPolicy(kind: .refuse)

    var witness: (any PrimaryWitness)? {
        if case .witness(let witness) = kind { witness } else { nil }
    }

    /// Whether nobody is asked.
    package var followsTimelines: Bool { rule == .follow }

    /// The policy as the machine needs it.
    var rule: FencingRule {
        switch kind {
        case .follow: .follow
        case .witness: .witness
        case .refuse: .refuse
        }
    }
}

/// Who decides between the primary and a higher timeline.
enum FencingRule: Sendable, Hashable {
    case follow, witness, refuse
}

// SPDX-License-Identifier: Apache-2.0

/// Something that happened to the cluster, as this process saw it.
public struct ClusterEvent: Sendable, Hashable {
    /// What happened.
    public enum Kind: Sendable, Hashable {
        /// A host's state changed.
        case stateChanged(from: HostState, to: HostState)
        /// A host's role changed.
        case roleChanged(from: HostRole, to: HostRole)
        /// The host is the primary now. `timeline` is `nil` where the server does not tell it;
        /// `afterGap` is how long this process had no primary, `nil` if it never had one.
        case primaryElected(timeline: UInt32?, afterGap: Duration?)
        /// The host was the primary and is no longer used as such.
        case primaryLost
        /// The host was cut off: nothing is sent to it, and its leased connections are interrupted.
        case quarantined
        /// The server behind the host is another run than before: restarted, or replaced.
        case restarted
        /// An open connection or statement gave reason to doubt the host; a check follows at once.
        case suspected(PassiveEvidence)
        /// The host could serve reads, but went out several times lately: it must answer for so long first.
        case heldDown(for: Duration)
        /// The host joined the cluster.
        case added
        /// The host gets no new work, by ``Cluster/drainHost(_:)``.
        case drained
        /// The host may serve again, by ``Cluster/undrainHost(_:)``.
        case undrained
        /// The host left the cluster.
        case removed
        /// The cluster has this system identifier from now on, by ``Cluster/adopt(systemIdentifier:)``.
        case adopted(systemIdentifier: UInt64)
    }

    /// The host, "host:port"; empty for what concerns no host in particular.
    public var host: String
    /// What happened.
    public var kind: Kind
    /// Why, in words, where there is more to say.
    public var reason: String?
    /// When this process learned it.
    public var at: ContinuousClock.Instant

    /// Makes an event.
    public init(host: String, kind: Kind, reason: String? = nil, at: ContinuousClock.Instant) {
        self.host = host
        self.kind = kind
        self.reason = reason
        self.at = at
    }
}

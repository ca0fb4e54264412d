// SPDX-License-Identifier: Apache-2.0

/// Whether a host can be used.
///
/// ```
///               probe answered               higher timeline, other system, second primary, disputed
/// unknown ───────────────────────────► up ──────────────────────────────────────────────► quarantined
///    │  ▲                             │ ▲ ▲                                                    │
///    │  └──── last answer too old ────┘ │ └──────────────────── fits again ◄───────────────────┘
///    │                                  │
///    └─► down, starting, frozen, busy, misconfigured ──► (probe answered) ──► up
/// ```
/// Suspicion never changes a state; probes and the age of their answers do. One probe is proof where the server, or its
/// machine, says so (refused, 57P03, 53300, 28xxx); silence is proof when it was met twice in a row, the second time
/// on a new connection, while no user was answered either. What was answered longer ago than ``ClusterConfiguration/evidenceLife`` is
/// not known any more; twelve times as long ago, while users are answered.
///
/// `busy` keeps what the host served: it is alive, only full. A host that is `up` may serve nothing all the same: it is
/// drained, or it is held down because it went out several times lately. Three outages, each within 30 s of the one before,
/// hold its reads back for 1 s after it has come back, each further one for twice as long, 30 s at most. The primary is never
/// held down, nor is the last host that could serve reads.
public enum HostState: String, Sendable, Hashable {
    /// Not yet asked, or its last answer is too old.
    case unknown
    /// Starting up or shutting down: it answers, but takes no sessions (57P03).
    case starting
    /// Answers and belongs to the cluster.
    case up
    /// Alive, but without room for the monitor's session (53300).
    case busy
    /// Proven to be gone: nobody listens there.
    case down
    /// Accepts connections or keeps them open, but has not answered two checks, one of them on a fresh connection, nor any user meanwhile.
    case frozen
    /// Alive, but refuses us or does not speak the protocol.
    case misconfigured
    /// Alive and dangerous: a stale primary, one of several, or another cluster. Gets no statement.
    case quarantined
}

/// What a host is in the cluster.
public enum HostRole: String, Sendable, Hashable {
    /// Not known now. The last known role is not a role.
    case unknown
    /// Accepts writes.
    case primary
    /// Not in recovery, but its transactions are read-only by default.
    case readOnlyPrimary = "read_only_primary"
    /// In recovery: follows a primary.
    case replica
}

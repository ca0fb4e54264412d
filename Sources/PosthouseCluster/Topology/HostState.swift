// SPDX-License-Identifier: Apache-2.0

/// Whether a host can be used.
///
/// ```
///               probe answered                          higher timeline, other system,
/// unknown ────────────────────────► up ──────────────── second primary ───► quarantined
///    │  ▲                          │ ▲ ▲                                        │
///    │  └ evidence too old ────────┘ │ └──────── fits again ◄──────────────────┘
///    │                               │
///    └─► down, starting, frozen, busy, misconfigured ─► (probe answered) ─► up
/// ```
/// Suspicion never changes a state; probes do. `busy` keeps what the host served: it is alive, only full.
public enum HostState: String, Sendable, Hashable {
    /// Not yet asked.
    case unknown
    /// Starting up or shutting down: it answers, but takes no sessions (57P03).
    case starting
    /// Answers and belongs to the cluster.
    case up
    /// Alive, but without room for the monitor's session (53300).
    case busy
    /// Proven to be gone: nobody listens there.
    case down
    /// Accepts connections or keeps them open, but has not answered two checks, one of them on a fresh connection.
    case frozen
    /// Alive, but refuses us or does not speak the protocol.
    case misconfigured
    /// Alive and dangerous: a stale primary, a second primary, or another cluster. Gets no statement.
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

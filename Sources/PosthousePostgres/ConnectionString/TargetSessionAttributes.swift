// SPDX-License-Identifier: Apache-2.0

/// What a server must be to serve a connection: libpq's `target_session_attrs`.
@nonexhaustive
public enum TargetSessionAttributes: String, Sendable, Hashable, CaseIterable {
    /// Any server. The default.
    case any
    /// A session that accepts writes: not in recovery, and not read-only by default.
    case readWrite = "read-write"
    /// A session that refuses writes: in recovery, or read-only by default.
    case readOnly = "read-only"
    /// A server that is not in recovery.
    case primary
    /// A server in recovery.
    case standby
    /// A server in recovery if one of the hosts is, else any.
    case preferStandby = "prefer-standby"
}

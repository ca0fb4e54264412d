// SPDX-License-Identifier: Apache-2.0

/// Opening a connection took longer than ``PoolConfiguration/connectTimeout``: what ``PoolError/underlying`` and
/// ``PoolStatus/lastConnectError`` are then.
public struct ConnectTimedOut: Error, Sendable, Hashable, CustomStringConvertible {
    /// The connect timeout.
    public let after: Duration

    /// What happened.
    public var description: String { "the connect did not end within its timeout of \(after.rounded)" }
}

/// Validating a connection, or a hook, took longer than ``PoolConfiguration/workTimeout``.
struct WorkTimedOut: Error, CustomStringConvertible {
    var description: String { "validating the connection, or a hook, took too long" }
}

// SPDX-License-Identifier: Apache-2.0

/// What a user of a pool wants done with each of its connections, beside what the strategy does.
///
/// All hooks run outside the pool's lock and may use the pool, also to ask for a connection; such a request waits like any
/// other, so a hook that waits for a pool that waits for the hook ends when its time is over. None of them runs at the same
/// time as another one, or as a lease, of the same connection.
public struct PoolHooks<Connection: Sendable>: Sendable {
    /// After a connection was opened, and before anybody gets it; its time is part of the connect timeout.
    ///
    /// If it throws, the connection is closed and the connect has failed with that error. If it hangs, the connect has timed
    /// out.
    public var created: (@Sendable (Connection) async throws -> Void)?

    /// Before a connection is handed out, within the request's deadline and ``PoolConfiguration/workTimeout``.
    ///
    /// If it answers ``HandOutVerdict/replace``, the connection is closed and the request gets another one. If it throws, the
    /// connection is closed and the request fails with ``PoolError/Code/hookFailed``. If it hangs for longer than
    /// ``PoolConfiguration/workTimeout``, it is cancelled and counts as having said ``HandOutVerdict/replace``.
    ///
    /// A request that must not suspend (``PoolGroup/tryAcquire(_:)``) gets nothing from a pool that has this hook.
    public var beforeHandOut: (@Sendable (Connection) async throws -> HandOutVerdict)?

    /// After a connection came back, and was recycled, and before anybody else gets it.
    ///
    /// If it throws, or hangs for longer than ``PoolConfiguration/workTimeout``, the connection is closed.
    public var returned: (@Sendable (Connection) async throws -> Void)?

    /// Before a connection is closed. Not called for one that is dropped without being closed, or detached.
    public var closing: (@Sendable (Connection, CloseReason) -> Void)?

    /// Hooks; none by default.
    public init(
        created: (@Sendable (Connection) async throws -> Void)? = nil,
        beforeHandOut: (@Sendable (Connection) async throws -> HandOutVerdict)? = nil,
        returned: (@Sendable (Connection) async throws -> Void)? = nil,
        closing: (@Sendable (Connection, CloseReason) -> Void)? = nil
    ) {
        self.created = created
        self.beforeHandOut = beforeHandOut
        self.returned = returned
        self.closing = closing
    }
}

/// What becomes of a connection that was about to be handed out.
public enum HandOutVerdict: Sendable {
    /// The request gets it.
    case use
    /// It is closed, and the request gets another one.
    case replace
}

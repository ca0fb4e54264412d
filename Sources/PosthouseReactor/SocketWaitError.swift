// SPDX-License-Identifier: Apache-2.0

/// Why a wait for a socket ended without the socket being ready.
///
/// A value of this type says nothing about the socket itself: what was sent may still arrive, and be answered.
public struct SocketWaitError: Error, Sendable, Hashable, CustomStringConvertible {
    private enum Base: String, Sendable {
        case cancelled
        case timedOut
        case interrupted
        case alreadyWaiting
        case deregistered
        case shutDown
    }

    private let base: Base

    /// The waiting task was cancelled.
    public static let cancelled = SocketWaitError(base: .cancelled)

    /// The deadline passed, and a poll after that moment still found the socket not ready.
    public static let timedOut = SocketWaitError(base: .timedOut)

    /// ``SocketRegistration/interrupt()`` was called, during this wait or since the one before.
    public static let interrupted = SocketWaitError(base: .interrupted)

    /// Another task waits for this registration; it is not disturbed.
    public static let alreadyWaiting = SocketWaitError(base: .alreadyWaiting)

    /// The registration was given up with ``SocketRegistration/deregister()``.
    public static let deregistered = SocketWaitError(base: .deregistered)

    /// The loop was shut down.
    public static let shutDown = SocketWaitError(base: .shutDown)

    /// The name of the error.
    public var description: String { base.rawValue }
}

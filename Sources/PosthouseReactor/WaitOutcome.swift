// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// How one wait for a socket ended.
enum WaitOutcome: UInt8, Sendable, AtomicRepresentable {
    case ready
    case cancelled
    case timedOut
    case interrupted
    case deregistered
    case shutDown

    /// The error the waiting task gets; nil if the socket is ready.
    var error: SocketWaitError? {
        switch self {
        case .ready: nil
        case .cancelled: .cancelled
        case .timedOut: .timedOut
        case .interrupted: .interrupted
        case .deregistered: .deregistered
        case .shutDown: .shutDown
        }
    }
}

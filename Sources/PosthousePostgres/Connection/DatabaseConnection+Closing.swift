// SPDX-License-Identifier: Apache-2.0

import PosthouseReactor
import Synchronization

/// Why a connection is taken away from whoever uses it.
public enum InterruptionReason: UInt8, Sendable {
    /// The host must not receive statements any more.
    case fenced = 1
    /// The pool or the cluster ends.
    case terminated = 2
}

extension DatabaseConnection {
    /// Closes the connection, telling the server so. Does not block; safe to repeat.
    ///
    /// If a statement is running, it fails soon with ``DatabaseError/Code/terminated``, and its task closes the connection.
    public func close() {
        guard let (old, _) = move({ $0.closed() }) else { return }
        if old.isBusy {
            note(.terminated)
            registration.interrupt()
        } else {
            pq.take()
            free()
        }
    }

    /// Takes the connection away from whoever uses it, from any thread: the socket is shut down, a running statement fails
    /// soon with ``DatabaseError/Code/fenced`` or ``DatabaseError/Code/terminated``, and later ones are not sent. The
    /// connection still has to be closed.
    ///
    /// The socket is shut down by the connection's owner, woken for it: only the owner knows whether libpq still has that
    /// socket, or has closed it and the number is somebody else's.
    public func interrupt(_ reason: InterruptionReason) {
        note(reason)
        guard let (old, _) = move({ $0.interruptedAndClaimed() }) else { return }
        if old.isBusy {
            registration.interrupt()
        } else {
            pq.take()
            shutDownSocket()
            release()
        }
    }

    private func note(_ reason: InterruptionReason) {
        _ = interruption.compareExchange(expected: 0, desired: reason.rawValue, ordering: .acquiringAndReleasing)
    }
}

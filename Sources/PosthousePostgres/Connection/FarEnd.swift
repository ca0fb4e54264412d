// SPDX-License-Identifier: Apache-2.0

import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The server's side of a connection that is closed on ours. The session goes on there, and counts, until its process has read
/// that and ended; the last thing that this does is to close its socket.
///
/// Keeps a descriptor, so that the system can be asked; it is closed with this.
package final class FarEnd: Sendable {
    private let descriptor: Int32

    /// - Parameter socket: Of a connection that its owner is about to close. Nil if there is none, or no descriptor left.
    init?(of socket: Int32) {
        guard socket >= 0 else { return nil }
        let copy = fcntl(socket, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return nil }
        descriptor = copy
    }

    deinit {
        close(descriptor)
    }

    /// Whether the other side has closed its socket, too. One system call. On a Unix-domain socket that was shut down, and on
    /// systems other than Linux, that is not known, and taken for granted.
    package var hasEnded: Bool {
        #if os(Linux)
            // Its first byte is the state; see tcp(7) and the kernel's tcp_states.h.
            var information = [UInt8](repeating: 0, count: 8)
            var size = socklen_t(information.count)
            if getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &information, &size) == 0, size > 0 {
                let (established, finWait1, finWait2): (UInt8, UInt8, UInt8) = (1, 4, 5)
                return ![established, finWait1, finWait2].contains(information[0])
            }
        #endif
        return switch SocketProbe.input(of: descriptor) {
        case .end, .failure: true
        case .nothing, .byte: false
        }
    }
}

/// Is told when a connection is closed on this side.
package final class Aftermath: Sendable {
    let closed: @Sendable (FarEnd?) -> Void

    /// - Parameter closed: Called once, by whoever closed it, with the other side if there is one.
    package init(closed: @escaping @Sendable (FarEnd?) -> Void) {
        self.closed = closed
    }
}

extension DatabaseConnection {
    /// Has somebody told when the connection is closed, once and for ever.
    ///
    /// - Returns: false if it is closed already, or somebody else is told.
    package func tell(_ aftermath: Aftermath) -> Bool {
        !state.isFreed && self.aftermath.storeIfNil(aftermath) === aftermath
    }
}

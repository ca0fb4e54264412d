// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Questions to a socket that libpq owns. None blocks and none takes anything away from libpq.
enum SocketProbe {
    /// What a read would find.
    enum Input: Equatable {
        case nothing
        case byte(UInt8)
        case end
        case failure(errno: Int32)
    }

    static func input(of socket: Int32) -> Input {
        var byte: UInt8 = 0
        while true {
            let count = recv(socket, &byte, 1, peekWithoutBlocking)
            if count > 0 { return .byte(byte) }
            if count == 0 { return .end }
            switch errno {
            case EINTR: continue
            case EAGAIN, EWOULDBLOCK: return .nothing
            case let number: return .failure(errno: number)
            }
        }
    }

    /// Why connecting failed; 0 if it did not. Asking clears it, so whoever asks must give up if there is something.
    static func connectError(of socket: Int32) -> Int32 {
        var number: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(socket, SOL_SOCKET, SO_ERROR, &number, &size) == 0 ? number : errno
    }

    /// Ends both directions; the descriptor stays open.
    static func shutDown(_ socket: Int32) {
        #if canImport(Darwin)
            _ = shutdown(socket, SHUT_RDWR)
        #else
            _ = shutdown(socket, Int32(SHUT_RDWR))
        #endif
    }

    private static let peekWithoutBlocking = Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)
}

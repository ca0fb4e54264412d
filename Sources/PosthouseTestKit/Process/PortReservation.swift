// SPDX-License-Identifier: Apache-2.0

internal import CTestKit

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// A loopback port that no other user of this kit gets while the reservation lives, in this process or another.
final class PortReservation: Sendable {
    let port: Int
    private let descriptor: Int32

    private init(port: Int, descriptor: Int32) {
        self.port = port
        self.descriptor = descriptor
    }

    deinit {
        close(self.descriptor)
    }

    /// Any free port that the kernel does not give to outgoing connections: such a port could be taken between a
    /// server's death and its restart.
    static func any() throws(LocalClusterError) -> PortReservation {
        let range = self.candidates
        let start = Int.random(in: range)
        for offset in 0..<range.count {
            let port = range.lowerBound + (start - range.lowerBound + offset) % range.count
            if let reservation = self.reserve(port) { return reservation }
        }
        throw LocalClusterError(.noFreePort, "No port from \(range.lowerBound) to \(range.upperBound - 1) is free.")
    }

    static func exactly(_ port: Int) throws(LocalClusterError) -> PortReservation {
        guard (1...65535).contains(port) else {
            throw LocalClusterError(.invalidConfiguration, "\(port) is not a port; ports are from 1 to 65535.")
        }
        guard let reservation = self.reserve(port) else {
            throw LocalClusterError(.noFreePort, "Port \(port) is in use, or reserved by another cluster.")
        }
        return reservation
    }

    private static func reserve(_ port: Int) -> PortReservation? {
        let descriptor = testkit_reserve_port(UInt16(port))
        return descriptor < 0 ? nil : PortReservation(port: port, descriptor: descriptor)
    }

    static var candidates: Range<Int> {
        let text = Files.text(of: "/proc/sys/net/ipv4/ip_local_port_range") ?? "32768 60999"
        let numbers = text.split { $0 == " " || $0 == "\t" || $0 == "\n" }.compactMap { Int($0) }
        guard numbers.count == 2 else { return 20000..<32768 }
        return self.candidates(ephemeral: numbers[0]...max(numbers[0], numbers[1]))
    }

    static func candidates(ephemeral: ClosedRange<Int>) -> Range<Int> {
        let low = min(ephemeral.lowerBound, 32768)
        if low > 12000 { return 10000..<low }
        if low > 4096 { return 2048..<low }
        if ephemeral.upperBound < 64000 { return (ephemeral.upperBound + 1)..<65536 }
        // The kernel hands out everything: bind tests are all there is.
        return 20000..<30000
    }
}

// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#elseif canImport(Darwin)
    internal import Darwin
#endif

/// Gives a copy of a data directory an identity of its own.
///
/// `initdb` costs most of the time that a cluster needs to start, so one process runs it once and copies. But copies
/// share their system identifier, by which a client tells a replica from a stranger, and tests of that need strangers.
/// The identifier is in two places: the first eight bytes of `pg_control`, which ends with a CRC-32C, and the header of
/// the first page of each log segment, which no checksum covers (PostgreSQL: `catalog/pg_control.h`,
/// `access/xlog_internal.h`). A server checks that both are the same.
struct SystemIdentifier {
    private static let segment = "pg_wal/000000010000000000000001"
    /// XLogLongPageHeaderData.xlp_sysid, behind the 24 bytes of a short header.
    private static let offsetInSegment = 24

    /// As `initdb` makes them: the time, and something that differs within a second.
    static func random() -> UInt64 {
        UInt64(time(nil)) << 32 | UInt64(UInt32.random(in: .min ... .max))
    }

    /// Nil if the files are not as expected, as could be in a version of PostgreSQL that is yet to come: then the
    /// template cannot be used.
    static func checksumOffset(in dataDirectory: String) -> Int? {
        guard let control = Files.contents(of: "\(dataDirectory)/global/pg_control"), control.count > 512,
            let log = Files.contents(of: "\(dataDirectory)/\(self.segment)"), log.count > 4096,
            control[0..<8] == log[self.offsetInSegment..<self.offsetInSegment + 8]
        else { return nil }
        var checksum = CyclicRedundancyCheck()
        for offset in 0..<512 {
            let here = control[offset..<offset + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            if offset >= 64 && offset % 4 == 0 && here == checksum.value { return offset }
            checksum.add(control[offset])
        }
        return nil
    }

    /// Writes the identifier into a data directory in which no server has run.
    static func write(_ identifier: UInt64, to dataDirectory: String, checksumAt offset: Int) throws(LocalClusterError)
    {
        let path = "\(dataDirectory)/global/pg_control"
        guard var control = Files.contents(of: path), control.count > offset + 4 else {
            throw Files.failure("read", path, errno)
        }
        let bytes = withUnsafeBytes(of: identifier.littleEndian) { Array($0) }
        control.replaceSubrange(0..<8, with: bytes)
        var checksum = CyclicRedundancyCheck()
        for byte in control[0..<offset] { checksum.add(byte) }
        try Files.overwrite(path, at: 0, with: bytes)
        try Files.overwrite(path, at: offset, with: withUnsafeBytes(of: checksum.value.littleEndian) { Array($0) })
        try Files.overwrite("\(dataDirectory)/\(self.segment)", at: self.offsetInSegment, with: bytes)
    }
}

/// CRC-32C (Castagnoli), as PostgreSQL uses it.
struct CyclicRedundancyCheck {
    private var state = UInt32.max
    var value: UInt32 { ~self.state }

    mutating func add(_ byte: UInt8) {
        self.state ^= UInt32(byte)
        for _ in 0..<8 { self.state = self.state >> 1 ^ (self.state & 1 == 1 ? 0x82f6_3b78 : 0) }
    }
}

// SPDX-License-Identifier: Apache-2.0

/// A place in the write-ahead log of one cluster of servers.
///
/// Two of them can be compared only if they are of the same system; and of the same timeline, or with knowledge of where the
/// one branched off the other.
package struct LogPosition: Hashable, Sendable {
    /// `pg_control_system().system_identifier`; nil where the server does not tell.
    package var systemIdentifier: UInt64?
    /// The timeline that the server writes, or follows as a replica; nil where the server does not tell.
    package var timeline: UInt32?
    /// How many bytes into the log: PostgreSQL's `pg_lsn` as a number.
    package var lsn: UInt64

    package init(systemIdentifier: UInt64?, timeline: UInt32?, lsn: UInt64) {
        self.systemIdentifier = systemIdentifier
        self.timeline = timeline
        self.lsn = lsn
    }

    /// An LSN as PostgreSQL writes it: `16/B374D848`.
    package static func text(ofLSN lsn: UInt64) -> String {
        String(lsn >> 32, radix: 16, uppercase: true) + "/"
            + String(lsn & 0xFFFF_FFFF, radix: 16, uppercase: true)
    }
}

extension LogPosition {
    /// How a server lays out its log.
    struct Layout: Equatable {
        var blockSize: UInt64
        var segmentSize: UInt64

        /// Bytes before the first record of a page (`XLogPageHeaderData`), and of the first page of a segment
        /// (`XLogLongPageHeaderData`): <https://doxygen.postgresql.org/xlog__internal_8h_source.html>
        private static let pageHeader: UInt64 = 24
        private static let segmentHeader: UInt64 = 40

        /// Where the last record ended, if the next one will begin at `lsn`.
        ///
        /// `pg_current_wal_insert_lsn()` is the beginning of a record that does not exist yet. After a record that fills its
        /// page that is behind the header of the next page, which no replica reports as replayed before something is written
        /// there: on a quiet primary that takes seconds.
        func recordEnd(before lsn: UInt64) -> UInt64 {
            guard blockSize > 0, segmentSize > 0 else { return lsn }
            if lsn % segmentSize == Self.segmentHeader { return lsn - Self.segmentHeader }
            // On a segment's first page this is within the header, where no record begins.
            return lsn % blockSize == Self.pageHeader ? lsn - Self.pageHeader : lsn
        }
    }
}

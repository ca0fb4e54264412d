// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import PosthouseTestKit

/// What an application felt when a primary was lost or replaced.
struct LossOutcome: Codable, CustomStringConvertible {
    /// Until its first write on the new primary: from the moment one on a warm connection could write, or, after a silent
    /// loss, from the loss. In milliseconds; `nil`: not within the limit.
    var gap: Double?
    /// From the order, or the loss, to its first write, where that is another time; in milliseconds.
    var outage: Double?
    /// Rows on the old primary that were asked for after the first write on the new one was: they are lost.
    var sentToStale = 0
    /// Other acknowledged writes that the new primary does not have.
    var missing = 0
    var duplicates = 0
    var acknowledged = 0
    var failedWrites = 0
    var reads = 0
    var failedReads = 0

    enum CodingKeys: String, CodingKey {
        case missing, duplicates, acknowledged, reads
        case gap = "first_write_ms"
        case outage = "outage_ms"
        case sentToStale = "sent_to_stale"
        case failedWrites = "failed_writes"
        case failedReads = "failed_reads"
    }

    /// - Parameters:
    ///   - report: What the application was told.
    ///   - found: How often each of its ids is on the new primary.
    ///   - stale: Those on the old one that were asked for when it was none any more.
    init(_ report: ApplicationReport, found: [Int: Int], stale: Set<Int> = []) {
        sentToStale = stale.count
        duplicates = found.values.count { $0 > 1 }
        failedWrites = report.failed
        (reads, failedReads) = (report.reads, report.failedReads)
        for server in report.acknowledged {
            acknowledged += server.ids.count
            missing += server.ids.count { found[$0] == nil && !stale.contains($0) }
        }
    }

    var description: String {
        "\(gap.map { "\($0.text(1)) ms" } ?? "never"), \(failedWrites) failed writes, \(failedReads) failed reads, "
            + "\(sentToStale) stale, \(missing) missing, \(duplicates) twice"
    }
}

extension LocalNode {
    /// How often each id of the contender's is there.
    func ledger(of contender: Contender) async throws -> [Int: Int] {
        let range = contender.ids
        let rows = try await query(
            "SELECT id FROM ledger WHERE id >= \(range.lowerBound) AND id < \(range.upperBound)",
            within: .seconds(60)
        )
        return rows.reduce(into: [:]) { found, row in
            if let id = row.first.flatMap({ $0 }).flatMap({ Int($0) }) { found[id, default: 0] += 1 }
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

/// What the application felt.
struct DemoOutcome: Sendable {
    /// From the moment a tight loop on a warm connection could write to the new primary, to the application's first
    /// write there.
    var promotionToFirstWrite: Duration
    /// From the crash to the application's first write: mostly the time until somebody promoted a replica.
    var outage: Duration
    var summary: LoadRun.Summary
    /// Rows that reached the old primary after it came back.
    var staleStatements: Int
    /// Acknowledged orders that the new primary does not have: replication here is asynchronous.
    var lost: Int
    var stalePrimary: String?

    var holds: Bool { staleStatements == 0 && stalePrimary != nil }

    var json: JSONValue {
        .document(
            LoadReport.members(of: summary).merging([
                "promotion_to_first_write_ms": .milliseconds(promotionToFirstWrite),
                "outage_ms": .milliseconds(outage),
                "statements_on_stale_primary": .integer(Int64(staleStatements)),
                "acknowledged_but_not_replicated": .integer(Int64(lost)),
                "stale_primary": .optional(stalePrimary),
            ]) { $1 }
        )
    }

    var text: String {
        let failed = summary.errors == 0 ? "none failed" : "\(summary.errors) failed (those in flight when it died)"
        let lost = lost == 0 ? "all of them are on the new primary" : "\(lost) of them died with it, not yet replicated"
        return """
            It is quarantined (\(stalePrimary ?? "not seen")) and got \(staleStatements) statements.

            The application wrote \(summary.ok) orders; \(failed), and \(lost).
            promotion_to_first_write_ms: \(promotionToFirstWrite.milliseconds)

            In short: for \(outage.milliseconds) ms there was no server to write to, and the application simply waited; \
            \(promotionToFirstWrite.milliseconds) ms after there was one, it wrote on.
            """
    }
}

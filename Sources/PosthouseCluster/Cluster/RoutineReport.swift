// SPDX-License-Identifier: Apache-2.0

/// A report from which nothing follows but where its host is in the log.
struct RoutineReport: Sendable {
    var host: Int
    var report: HostReport
    /// When the host was asked.
    var asked: ContinuousClock.Instant
    /// Whether no question was answered that had been put later.
    var isLatest: Bool
    /// Whether the host takes the writes.
    var isPrimary: Bool
    /// Whether it is known where the primary is.
    var isMeasured: Bool
}

extension ClusterCore.State {
    /// Takes the next piece of evidence out of the inbox, if it is such a report: without a copy of what is known of all hosts.
    mutating func takeRoutine(now: ContinuousClock.Instant) -> RoutineReport? {
        guard let (host, report, asked) = inbox.first?.answer,
            machine.takeRoutinely(report, of: host, asked: asked, now: now)
        else { return nil }
        inbox.removeFirst()
        return RoutineReport(
            host: host,
            report: report,
            asked: asked,
            isLatest: machine.isLatest(asked, of: host),
            isPrimary: machine.hosts[host].serves.contains(.primary),
            isMeasured: machine.knowsThePrimarysPosition(at: now)
        )
    }
}

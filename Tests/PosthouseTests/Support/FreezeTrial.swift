// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

/// A primary that freezes under write traffic, a replica promoted in its place, and the thaw. Or one that lives on.
struct FreezeTrial {
    /// What came of it.
    struct Outcome: Sendable, CustomStringConvertible {
        /// From the freeze to the first write on the new primary, which was promoted at once.
        var resumed: Duration
        /// Of that, the time after a tight loop on a warm connection could write.
        var gap: Duration
        /// Writes that were under way to the frozen server.
        var doubtful: Set<Int>
        /// Rows on the old primary of which the application knows nothing: sent after the fence.
        var sentAfterFence: [Int]
        /// On the new primary.
        var duplicates: [Int]
        var failures: [Ledger.Failure]
        /// Errors that are none of ours: there must be none.
        var untyped: [Ledger.Failure] { failures.filter { !$0.isTyped } }

        var description: String {
            "left: first write \(resumed.milliseconds) ms after the start, \(gap.milliseconds) ms after it was possible; "
                + "\(doubtful.count) in doubt; errors: \(Set(failures.map(\.label)).sorted().joined(separator: "; "))"
        }
    }

    var servers: LocalCluster
    var cluster: PostgresCluster
    var readers = 2
    var freezes = true

    func run() async throws -> Outcome {
        let (frozen, heir) = (servers.primary, servers.replicas[0])
        try await cluster.ready()
        let application = Application(on: cluster, readers: readers)
        let outcome: Outcome
        do {
            try await application.work(writes: 100, reads: min(readers, 1))
            let reference = try await WarmReference(heir)
            let began = ContinuousClock.now
            if freezes { try await frozen.pause() }
            async let writable = reference.firstWrite()
            try await heir.promote(waiting: false)
            let possible = try await writable
            try await eventually("the application writes to the new primary") {
                application.ledger.first(on: heir.address, after: began) != nil
            }
            let first = try #require(application.ledger.first(on: heir.address, after: began))
            try await servers.repoint(to: heir)
            try await application.work(writes: 100, reads: min(readers, 1))
            if freezes { try await frozen.resume() }
            try await eventually("the old primary is quarantined") {
                cluster.snapshot().hosts.first { $0.host == frozen.address }?.state == .quarantined
            }
            try await application.work(writes: 100, reads: min(readers, 1))
            await application.stop()
            // What was asked for after the first write on the new primary must not have been done on the old one.
            let before = application.ledger.acknowledged.filter { $0.host == frozen.address && $0.began < first }
            outcome = Outcome(
                resumed: began.duration(to: first),
                gap: possible.duration(to: first),
                doubtful: application.ledger.doubtful,
                sentAfterFence: try await application.unexplained(on: frozen, told: Set(before.map(\.id))),
                duplicates: try await application.reckon(with: heir).duplicates,
                failures: application.ledger.failures + application.reads.failures
            )
        } catch {
            await application.stop()
            throw error
        }
        return outcome
    }
}

// SPDX-License-Identifier: Apache-2.0

import Posthouse
import PosthouseTestKit
import Testing

/// The loss of a primary under write traffic, the promotion of a replica, the return of the lost one, and what the
/// application felt.
struct FailoverTrial {
    /// What came of it.
    struct Outcome: Sendable, CustomStringConvertible {
        var loss: Loss
        /// From the moment a tight loop on a warm connection could write, to the application's first write.
        var gap: Duration
        /// The part of it until the cluster knew the new primary.
        var election: Duration
        /// From the loss to the application's first write.
        var outage: Duration
        var reckoning: Application.Reckoning
        /// Rows on the lost primary that the application was not told of and did not doubt, or asked for when it had
        /// written to the new one already: there must be none.
        var sentToStale: [Int]
        var failures: [Ledger.Failure]
        /// Errors that are none of ours: there must be none.
        var untyped: [Ledger.Failure] { failures.filter { !$0.isTyped } }

        var description: String {
            let kinds = failures.reduce(into: [:]) { $0[$1.label, default: 0] += 1 }
                .sorted { $0.key < $1.key }.map { "\($1) x \($0)" }
            return
                "\(loss): first write \(gap.milliseconds) ms after it was possible (election \(election.milliseconds) "
                + "ms), \(outage.milliseconds) ms after the loss; \(reckoning); sent to the lost one \(sentToStale); "
                + "errors: \(kinds.isEmpty ? "none" : kinds.joined(separator: "; "))"
        }
    }

    var servers: LocalCluster
    var cluster: PostgresCluster
    var writers = 6
    var readers = 2
    /// Whether the application has the cluster try again what failed.
    var leavesRetrying = false
    /// Whether the lost primary comes back as it was, before the application stops.
    var returns = true
    var filter: PacketFilter?
    /// What the cluster calls a node, where something stands between them.
    var address: @Sendable (LocalNode) -> String = { $0.address }

    func run(_ loss: Loss) async throws -> Outcome {
        let (primary, heir) = (servers.primary, servers.replicas[0])
        let (old, new) = (address(primary), address(heir))
        try await replicateSynchronously(from: primary, to: heir)
        try await cluster.ready(timeout: .seconds(30))
        let events = cluster.events
        let application = Application(
            on: cluster,
            writers: writers,
            readers: readers,
            leavesRetrying: leavesRetrying
        )
        let outcome: Outcome
        do {
            try await application.work(writes: 100, reads: min(readers, 1))
            let reference = try await WarmReference(heir)
            let lost = ContinuousClock.now
            try await loss.strike(primary, filter)
            // What a failover manager takes to make up its mind.
            try await Task.sleep(for: .milliseconds(Int.random(in: 100...1000)))
            async let writable = reference.firstWrite()
            try await heir.promote(waiting: false)
            let possible = try await writable
            try await eventually("the application writes to the new primary") {
                application.ledger.first(on: new, after: lost) != nil
            }
            let first = try #require(application.ledger.first(on: new, after: lost))
            let elected = await Self.election(of: new, in: events)
            if returns {
                try await loss.undo(primary, filter)
                try await eventually("the lost primary is quarantined") {
                    cluster.snapshot().hosts.first { $0.host == old }?.state == .quarantined
                }
            }
            try await application.work(writes: 100, reads: min(readers, 1))
            await application.stop()
            let before = application.ledger.acknowledged.filter { $0.host == old && $0.began < first }
            outcome = Outcome(
                loss: loss,
                gap: possible.duration(to: first),
                election: possible.duration(to: elected ?? first),
                outage: lost.duration(to: first),
                reckoning: try await application.reckon(with: heir),
                sentToStale: returns ? try await application.unexplained(on: primary, told: Set(before.map(\.id))) : [],
                failures: application.ledger.failures + application.reads.failures
            )
        } catch {
            await application.stop()
            throw error
        }
        try await servers.repoint(to: heir)
        return outcome
    }

    /// Makes the lost primary a replica of the new one, so that the trial can be repeated.
    func restore() async throws {
        let primary = servers.primary
        try await primary.query("TRUNCATE ledger")
        // A replica that was ahead of the heir cannot follow it, and nobody says so: all are made anew.
        for node in servers.replicas { try await node.rejoin(following: primary) }
        for node in servers.replicas { try await node.waitUntilStreaming(from: primary) }
    }

    private static func election(
        of heir: String,
        in events: AsyncStream<ClusterEvent>
    ) async -> ContinuousClock.Instant? {
        for await event in events where event.host == heir {
            if case .primaryElected = event.kind { return event.at }
        }
        return nil
    }

    /// No acknowledged write can be lost then. The heir itself must not wait for anybody when it is promoted.
    private func replicateSynchronously(from primary: LocalNode, to heir: LocalNode) async throws {
        try await heir.query("ALTER SYSTEM RESET synchronous_standby_names")
        try await heir.reload()
        try await primary.query("ALTER SYSTEM SET synchronous_standby_names = '\(heir.name)'")
        try await primary.reload()
        try await eventually("\(heir.name) is a synchronous standby") {
            try await primary.value(
                of: "SELECT sync_state FROM pg_stat_replication WHERE application_name = '\(heir.name)'"
            ) == "sync"
        }
    }
}

extension LocalNode {
    /// As the cluster names the host.
    var address: String { "127.0.0.1:\(port)" }
}

extension Duration {
    /// Rounded to a tenth.
    var milliseconds: Double {
        (self / .microseconds(100)).rounded() / 10
    }
}

// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation
import PosthouseTestKit

/// One loss of a primary that a contender's application lives through, and the lost one's return as it was.
struct Trial {
    var servers: LocalCluster
    var filter: PacketFilter?
    var strike: Strike
    /// From the loss to the promotion.
    var wait: Duration
    /// Who is not on the new primary by then, after it could write, is not waited for.
    var limit: Duration = .seconds(15)
    /// How long all go on when the old primary is back.
    var afterwards: Duration = .seconds(2)

    func run(_ contender: Contender, _ command: [String]) async throws -> LossOutcome {
        let (old, heir) = (servers.primary, servers.replicas[0])
        try await replicateSynchronously(from: old, to: heir)
        let program = try ApplicationProgram(contender.name, command)
        do {
            guard try await program.firstWrite(by: old.port, within: .seconds(60)) != nil else {
                throw ChildProgram.Failure(description: "\(contender.name) does not begin")
            }
            return try await lose(old, heir, contender, program)
        } catch {
            program.kill()
            throw error
        }
    }

    private func lose(
        _ old: LocalNode,
        _ heir: LocalNode,
        _ contender: Contender,
        _ program: ApplicationProgram
    ) async throws -> LossOutcome {
        // Its pools warm up, and its checks are not in step with the loss.
        try await Task.sleep(for: .milliseconds(Int.random(in: 1500...2500)))
        let yardstick = try await WarmLoop(heir)
        let lost = monotonicNanoseconds()
        try await strike.hit(old, filter)
        try await Task.sleep(for: wait)
        async let writable = yardstick.firstWrite()
        try await heir.promote(waiting: false)
        let possible = try await writable
        let left = limit - .nanoseconds(Int64(monotonicNanoseconds() - possible))
        let first = try await program.firstWrite(by: heir.port, within: max(left, .milliseconds(10)))
        try await strike.undo(old, filter)
        try await Task.sleep(for: afterwards)
        let since = strike.isSilent ? lost : possible
        let outcome = try await reckon(
            contender,
            try await program.end(),
            old,
            heir,
            gap: first.map { (Double($0) - Double(since)) / 1e6 }
        )
        try await servers.repoint(to: heir)
        return outcome
    }

    private func reckon(
        _ contender: Contender,
        _ report: ApplicationReport,
        _ old: LocalNode,
        _ heir: LocalNode,
        gap: Double?
    ) async throws -> LossOutcome {
        // Ids are given in order: what is later than the first one here was asked for later.
        let turn = report.acknowledged.first { $0.port == heir.port }?.ids.first
        let stale = try await old.ledger(of: contender).keys.filter { id in turn.map { id > $0 } ?? false }
        var outcome = LossOutcome(report, found: try await heir.ledger(of: contender), stale: Set(stale))
        outcome.gap = gap?.rounded(to: 1)
        return outcome
    }

    /// Makes the lost primary a replica of the new one, for the next trial.
    func restore() async throws {
        let primary = servers.primary
        try await primary.query("TRUNCATE ledger")
        // A replica that was ahead of the heir cannot follow it, and nobody says so: all are made anew.
        for node in servers.replicas { try await node.rejoin(following: primary) }
        for node in servers.replicas { try await node.waitUntilStreaming(from: primary) }
    }

    /// No acknowledged write can be lost then. The heir itself must not wait for anybody when it is promoted.
    private func replicateSynchronously(from primary: LocalNode, to heir: LocalNode) async throws {
        try await heir.query("ALTER SYSTEM RESET synchronous_standby_names")
        try await heir.reload()
        try await primary.query("ALTER SYSTEM SET synchronous_standby_names = '\(heir.name)'")
        try await primary.reload()
        let state = "SELECT sync_state FROM pg_stat_replication WHERE application_name = '\(heir.name)'"
        let end = ContinuousClock.now + .seconds(60)
        while try await primary.value(of: state) != "sync" {
            guard ContinuousClock.now < end else {
                throw ChildProgram.Failure(description: "\(heir.name) is no synchronous standby")
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}

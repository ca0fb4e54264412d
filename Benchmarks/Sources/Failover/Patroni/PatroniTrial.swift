// SPDX-License-Identifier: Apache-2.0

import BenchmarkKit
import Foundation
import PosthouseTestKit

/// One primary that Patroni replaces while a contender's application writes.
struct PatroniTrial {
    /// Why it is replaced.
    enum Way: String, Codable, CaseIterable {
        /// By order: the primary is shut down, which sends what is left, and the other one is promoted.
        case switchover
        /// Patroni and PostgreSQL are killed; the others wait until the leader's lease is over.
        case death
    }

    /// What the application is told to connect to.
    enum Route: String, Codable, CaseIterable {
        /// All servers.
        case direct
        /// An HAProxy, which finds the primary by Patroni's health checks.
        case haproxy
    }

    var patroni: LocalPatroni
    var way: Way

    func run(_ contender: Contender, _ command: [String]) async throws -> LossOutcome {
        try await patroni.waitUntilWhole()
        let old = try await patroni.leader()
        try await old.node.query("TRUNCATE ledger")
        let program = try ApplicationProgram(contender.name, command)
        do {
            guard try await program.firstWrite(by: old.node.port, within: .seconds(60)) != nil else {
                throw ChildProgram.Failure(description: "\(contender.name) does not begin")
            }
            try await Task.sleep(for: .milliseconds(Int.random(in: 1500...2500)))
            let outcome = try await replace(old, contender, program)
            if way == .death { try await old.start() }
            return outcome
        } catch {
            program.kill()
            throw error
        }
    }

    private func replace(
        _ old: PatroniMember,
        _ contender: Contender,
        _ program: ApplicationProgram
    ) async throws -> LossOutcome {
        var loops: [(PatroniMember, WarmLoop)] = []
        for member in patroni.members where member !== old {
            loops.append((member, try await WarmLoop(member.node, rest: .milliseconds(1))))
        }
        let yardsticks = loops
        async let writable = first(of: yardsticks)
        let lost = monotonicNanoseconds()
        switch way {
        case .switchover: _ = try await patroni.switchover()
        case .death: try await old.kill()
        }
        let (heir, possible) = try await writable
        let first = try await program.firstWrite(by: heir.node.port, within: .seconds(30))
        // What fails late is counted, too.
        try await Task.sleep(for: .seconds(2))
        let report = try await program.end()
        var outcome = LossOutcome(report, found: try await heir.node.ledger(of: contender))
        outcome.gap = first.map { ((Double($0) - Double(possible)) / 1e6).rounded(to: 1) }
        outcome.outage = first.map { ((Double($0) - Double(lost)) / 1e6).rounded(to: 1) }
        return outcome
    }

    private func first(of yardsticks: [(PatroniMember, WarmLoop)]) async throws -> (PatroniMember, UInt64) {
        try await withThrowingTaskGroup(of: (PatroniMember, UInt64).self) { group in
            for (member, loop) in yardsticks {
                group.addTask { (member, try await loop.firstWrite(within: .seconds(180))) }
            }
            // The sessions of the other one may end when it begins to follow.
            var failure: any Error = ChildProgram.Failure(description: "there is nobody to be promoted")
            while let result = await group.nextResult() {
                switch result {
                case .success(let first):
                    group.cancelAll()
                    return first
                case .failure(let error): failure = error
                }
            }
            throw failure
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthouseCluster
import PosthousePool

/// Clients that write ids of their own and read, all the time, and remember what they were told.
struct Load: Sendable {
    private struct Ledger {
        var acknowledged: [UInt64] = []
        var nextID: UInt64 = 1
    }

    /// How long it goes on after the last fault, and how long it is quiet after everything was healed.
    private static let tail: Int64 = 500_000_000
    private static let calm = Duration.seconds(6)
    /// The most by which a request may outlive its deadline, beside the time that the process was away.
    private static let tolerance = Duration.milliseconds(1)

    /// One attempt every 100 ms at the most, and those at once after a session was lost.
    private static let mostMonitorConnects = 20
    /// Two pools' worth, since each connection may be lost and opened again within a second.
    private static let mostPoolConnects = 60
    /// One every 5 ms at the most; and one for each new connection.
    private static let mostChecks = 200

    private let scenario: Scenario
    private let configuration: ClusterConfiguration
    private let stage: Stage
    private let end: Int64
    private let ledger = Shared(Ledger())

    init(_ scenario: Scenario, _ configuration: ClusterConfiguration, on stage: Stage) {
        self.scenario = scenario
        self.configuration = configuration
        self.stage = stage
        end = Int64(scenario.faults.last?.milliseconds ?? 3000) * 1_000_000 + Self.tail
    }

    private var world: SimulatedWorld { stage.world }
    private var time: SimulatedTime { stage.time }

    func run() async {
        await withClients(scenario.clients) { index in
            var draws = SplitMix64(seed: scenario.seed &+ UInt64(index) &* 0x9E37_79B9)
            while time.elapsed < end {
                await pause(&draws)
                await step(&draws)
            }
        }
        world.apply(.heal)
        try? await time.sleep(until: time.now + Self.calm)
        await withClients(min(scenario.clients, 100)) { _ in await expectService() }
        inspect()
    }

    private func withClients(_ count: Int, _ body: @escaping @Sendable (Int) async -> Void) async {
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<count { group.addTask { await body(index) } }
        }
    }

    /// A few clients are busy, many are not.
    private func pause(_ draws: inout SplitMix64) async {
        let longest = scenario.clients <= 100 ? 120 : 2000
        let pause = Duration.microseconds(Int.random(in: 1000...longest * 1000, using: &draws))
        try? await time.sleep(until: time.now + pause)
    }

    private func step(_ draws: inout SplitMix64) async {
        let timeout = Duration.milliseconds(Int.random(in: 50...3000, using: &draws))
        let patience = Duration.milliseconds(Int.random(in: 100...1500, using: &draws))
        if Int.random(in: 0...3, using: &draws) > 0 {
            await write(timeout: timeout, patience, rest: rest(&draws))
        } else {
            await read(fallback: Bool.random(using: &draws), timeout: timeout, patience)
        }
    }

    /// Some keep their connection for a moment, and a few for long.
    private func rest(_ draws: inout SplitMix64) -> Duration? {
        switch Int.random(in: 0...15, using: &draws) {
        case 0: .milliseconds(Int.random(in: 300...4000, using: &draws))
        case 1...3: .milliseconds(Int.random(in: 1...300, using: &draws))
        default: nil
        }
    }

    /// - Parameter rest: How long the connection is kept for another statement.
    private func write(timeout: Duration, _ patience: Duration, rest: Duration?) async {
        let id = nextID()
        let began = time.now
        do {
            try await stage.cluster.write(timeout: timeout) { db in
                check(began, timeout, "was served")
                try await db.insert(id, deadline: time.now + patience)
                ledger.withLock { $0.acknowledged.append(id) }
                guard let rest else { return }
                try await time.sleep(until: time.now + rest)
                if id.isMultiple(of: 2) { return try await db.read(deadline: time.now + patience) }
                let another = nextID()
                try await db.insert(another, deadline: time.now + patience)
                ledger.withLock { $0.acknowledged.append(another) }
            }
        } catch {
            judge(error, began, timeout)
        }
    }

    private func read(fallback: Bool, timeout: Duration, _ patience: Duration) async {
        let began = time.now
        do {
            try await stage.cluster.read(fallbackPrimary: fallback, timeout: timeout) { db in
                check(began, timeout, "was served")
                try await db.read(deadline: time.now + patience)
            }
        } catch {
            judge(error, began, timeout)
        }
    }

    private func judge(_ error: any Error, _ began: ContinuousClock.Instant, _ timeout: Duration) {
        switch error {
        case let error as ClusterError:
            world.note(0xA00, "a request failed: \(error.code)")
            check(began, timeout, "failed")
            let expected: [ClusterError.Code] = [
                .noPrimary, .noReplica, .noHostReachable, .acquireTimedOut, .connectFailed,
            ]
            if !expected.contains(error.code) { world.violate("a request failed with \(error)") }
        case is SimulatedError, is PermitDenied: world.note(0xA01, "a statement failed: \(error)")
        default: world.violate("a request failed with \(error)")
        }
    }

    private func check(_ began: ContinuousClock.Instant, _ timeout: Duration, _ what: String) {
        let late = began.duration(to: time.now) - timeout - time.absence(since: began)
        if late > Self.tolerance { world.violate("a request \(what) \(late) after its deadline") }
    }

    private func nextID() -> UInt64 {
        ledger.withLock { ledger in
            defer { ledger.nextID += 1 }
            return ledger.nextID
        }
    }

    /// All is well: everybody is served.
    private func expectService() async {
        let id = nextID()
        do {
            try await stage.cluster.write { db in try await db.insert(id, deadline: time.now + .seconds(5)) }
            ledger.withLock { $0.acknowledged.append(id) }
            if scenario.hosts > 1 {
                try await stage.cluster.read { db in try await db.read(deadline: time.now + .seconds(5)) }
            }
        } catch {
            world.violate("all is well, and a request failed: \(error)")
        }
    }

    /// What one host may be asked for within a second.
    private func inspectRates() {
        let tally = world.look { $0.tally }
        let mostPoolConnects = configuration.pool.maximumConnectRate ?? Self.mostPoolConnects
        let limits = [
            ("connects of monitors", tally.mostMonitorConnects, Self.mostMonitorConnects),
            ("connects of pools", tally.mostPoolConnects, mostPoolConnects),
            ("probes", tally.mostProbes, Self.mostChecks + mostPoolConnects),
        ]
        for (what, count, limit) in limits where count > limit {
            world.violate("\(count) \(what) to one host within a second; \(limit) are too many")
        }
    }

    private func inspect() {
        let snapshot = stage.cluster.snapshot()
        if snapshot.waiting > 0 { world.violate("\(snapshot.waiting) requests wait after all were served") }
        // One that came and went several times may be held back for longer.
        let replicas = snapshot.hosts.count { $0.state == .up && $0.role == .replica }
        if replicas != scenario.hosts - 1 {
            let states = snapshot.hosts.map { "\($0.host) \($0.role) \($0.state) \($0.reason ?? "")" }
            world.violate("all is well, and not every host is up: \(states.joined(separator: "; "))")
        }
        inspectRates()
        var found: [UInt64: Int] = [:]
        for id in world.ids { found[id, default: 0] += 1 }
        if let id = found.filter({ $0.value > 1 }).keys.min() { world.violate("id \(id) was written twice") }
        let acknowledged = ledger.withLock { $0.acknowledged }
        guard scenario.isSynchronous else { return }
        let strays = world.look { $0.strays }
        let lost = acknowledged.filter { found[$0] == nil && !strays.contains($0) }
        if !lost.isEmpty { world.violate("\(lost.count) acknowledged ids are lost, id \(lost[0]) first") }
    }
}

/// What several tasks change.
private final class Shared<Value: Sendable>: Sendable {
    private let value: Guarded<Value>

    init(_ value: Value) {
        self.value = Guarded(value)
    }

    func withLock<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        value.withLock { body(&$0) }
    }
}

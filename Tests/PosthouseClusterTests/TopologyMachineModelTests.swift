// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import Testing

@testable import PosthouseCluster

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The machine against random histories of hosts that crash, freeze, are promoted and come back.
///
/// A failing seed is printed; `POSTHOUSE_TEST_SEED=n` runs that history alone, `POSTHOUSE_TEST_SEEDS=n` as many.
@Suite struct TopologyMachineModelTests {
    private static func setting(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }

    /// A small, fixed generator: the same seed gives the same history on every machine.
    private struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    /// What a server really is, as opposed to what has been seen of it.
    private struct Server {
        var system: UInt64 = 7
        var timeline: UInt32 = 1
        var isInRecovery: Bool
        var run: Int64
        var isAnswering = true

        var report: HostReport {
            HostReport(isInRecovery: isInRecovery, systemIdentifier: system, timeline: timeline, incarnation: run)
        }
    }

    /// `#expect` costs more than a step; it is called for failures only.
    private func expect(_ holds: Bool, _ promise: @autoclosure () -> String, _ seed: UInt64, _ step: Int) {
        if !holds { Issue.record("seed \(seed), step \(step): \(promise())") }
    }

    /// - Parameter open: Hosts whose leases of before may still send.
    private func check(_ machine: TopologyMachine, _ served: [ServiceClass], _ open: [Bool], seed: UInt64, step: Int) {
        for (index, host) in machine.hosts.enumerated() {
            guard open[index], let report = host.report, !report.isInRecovery else { continue }
            let isOurs = report.systemIdentifier == machine.systemIdentifier
            expect(isOurs, "leases on a foreign server may send", seed, step)
            expect(report.timeline == machine.highestTimeline, "leases on a stale primary may send", seed, step)
            // Another name of the primary leads to the primary.
            let isReplaced = machine.primary != nil && machine.primary != index && !host.isAlias
            expect(!isReplaced, "leases on a replaced primary may send", seed, step)
        }
        let writers = served.indices.filter { served[$0].contains(.primary) }
        expect(writers.count <= 1, "two hosts in the write set", seed, step)
        for (index, host) in machine.hosts.enumerated() {
            expect(host.serves == served[index], "the actions do not lead to the state", seed, step)
            if ![.up, .busy].contains(host.state) {
                expect(host.serves.isEmpty, "a host in state \(host.state) serves", seed, step)
            }
            guard host.serves.contains(.primary) else { continue }
            expect(machine.primary == index, "the primary is not the host that serves it", seed, step)
            expect(host.report?.isInRecovery == false, "a server in recovery takes writes", seed, step)
            expect(host.report?.timeline == machine.highestTimeline, "a stale primary", seed, step)
            expect(host.report?.systemIdentifier == machine.systemIdentifier, "a foreign primary", seed, step)
        }
    }

    private func run(seed: UInt64) {
        var random = Generator(state: seed)
        let count = Int.random(in: 1...5, using: &random)
        var servers = (0..<count).map { Server(isInRecovery: $0 != 0, run: Int64($0) * 1000) }
        if count > 2 && Bool.random(using: &random) { servers[count - 1].system = 666 }
        var machine = TopologyMachine(labels: (0..<count).map { "db\($0):5432" })
        var served = [ServiceClass](repeating: [], count: count)
        var open = [Bool](repeating: false, count: count)
        var isGraceOver = false
        var heard: Set<Int> = []
        var highest: [UInt64: UInt32] = [:]
        var now = ContinuousClock.now

        for step in 0..<300 {
            let host = Int.random(in: 0..<count, using: &random)
            let event: TopologyMachine.Event
            switch Int.random(in: 0..<12, using: &random) {
            case 0:
                // Promotion: whatever it was, it writes a new timeline now.
                guard servers[host].isInRecovery else { continue }
                let highest = servers.filter { $0.system == servers[host].system }.map(\.timeline).max() ?? 1
                servers[host].timeline = highest + 1
                servers[host].isInRecovery = false
                continue
            case 1:
                // Restart, as it was or as a replica of the highest timeline.
                servers[host].run += 1
                servers[host].isAnswering = true
                if Bool.random(using: &random) {
                    servers[host].isInRecovery = true
                    let peers = servers.filter { $0.system == servers[host].system }
                    servers[host].timeline = peers.map(\.timeline).max() ?? 1
                }
                continue
            case 2: servers[host].isAnswering.toggle(); continue
            case 3: event = .suspected(host: host, .connectionLost)
            case 4: event = .failed(host: host, HostFailure(.local, reason: "EMFILE"), fresh: true)
            case 5: event = .failed(host: host, HostFailure(.busy, reason: "53300"), fresh: true)
            case 6 where Int.random(in: 0..<20, using: &random) == 0:
                event = .graceEnded
                isGraceOver = true
            case 7 where Int.random(in: 0..<10, using: &random) == 0:
                // The address leads elsewhere for a moment.
                event = .glimpsed(host: host, servers[Int.random(in: 0..<count, using: &random)].report)
            default:
                if servers[host].isAnswering {
                    event = .reported(host: host, servers[host].report, asked: now)
                } else {
                    let kinds: [HostFailure.Kind] = [
                        .refused, .timedOut, .unreachable, .lost, .starting, .misconfigured, .garbage,
                    ]
                    let kind = kinds.randomElement(using: &random) ?? .refused
                    let fresh = Bool.random(using: &random)
                    event = .failed(host: host, HostFailure(kind, reason: "\(kind)"), fresh: fresh)
                }
            }
            switch event {
            case .failed(_, let failure, _) where failure.kind == .local: break
            case .reported, .failed: heard.insert(host)
            default: break
            }
            now += .milliseconds(Int.random(in: 0...500, using: &random))
            for action in machine.handle(event, now: now) {
                switch action {
                case .serve(let host, let services):
                    served[host] = services
                    if !services.isEmpty { open[host] = true }
                case .fence(let host):
                    served[host] = []
                    open[host] = false
                default: break
                }
                let writers = served.count { $0.contains(.primary) }
                expect(writers <= 1, "two writers between two actions", seed, step)
            }
            check(machine, served, open, seed: seed, step: step)
            let mayElect = isGraceOver || heard.count == count
            expect(machine.primary == nil || mayElect, "a primary before all were heard of", seed, step)
            if let system = machine.systemIdentifier, let timeline = machine.highestTimeline {
                expect(timeline >= highest[system] ?? 0, "the timeline went back", seed, step)
                highest[system] = timeline
            }
            expect(machine.isHunting || machine.primary != nil, "nobody looks for a primary", seed, step)
        }
        // In the end all is quiet: one primary on the highest timeline, everybody answers.
        servers = servers.map { server in
            var server = server
            server.isAnswering = true
            return server
        }
        guard let system = machine.systemIdentifier else { return }
        let writers = servers.indices.filter { servers[$0].system == system && !servers[$0].isInRecovery }
        let top = writers.map { servers[$0].timeline }.max() ?? 0
        let leaders = writers.filter { servers[$0].timeline == top }
        for _ in 0..<2 {
            for host in 0..<count {
                _ = machine.handle(.reported(host: host, servers[host].report, asked: now), now: now)
            }
        }
        if leaders.count == 1, top == machine.highestTimeline {
            expect(machine.primary == leaders[0], "the only possible primary is not used", seed, 300)
        }
    }

    @Test func noHistoryLeadsToTwoPrimariesOrAStaleOne() {
        if let seed = Self.setting("POSTHOUSE_TEST_SEED") { return run(seed: seed) }
        for seed in 0..<(Self.setting("POSTHOUSE_TEST_SEEDS") ?? 400) { run(seed: seed) }
    }
}

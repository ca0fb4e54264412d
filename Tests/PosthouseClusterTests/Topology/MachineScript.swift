// SPDX-License-Identifier: Apache-2.0

import PosthousePool

@testable import PosthouseCluster

/// A machine, the time, and short words for what befalls its hosts.
struct MachineScript {
    typealias Action = TopologyMachine.Action

    var machine: TopologyMachine
    var now = ContinuousClock.now

    init(hosts: Int = 3, fencing: FencingRule = .follow) {
        machine = TopologyMachine(
            labels: (1...hosts).map { "db\($0):5432" },
            settings: TopologyMachine.Settings(fencing: fencing)
        )
    }

    /// A primary on db1, replicas on the others.
    static func healthy(hosts: Int = 3, fencing: FencingRule = .follow) -> MachineScript {
        var script = MachineScript(hosts: hosts, fencing: fencing)
        script.answer(0, script.primary())
        for host in 1..<hosts { script.answer(host, script.replica(run: Int64(host + 1) * 100)) }
        return script
    }

    func primary(timeline: UInt32? = 1, system: UInt64? = 7, run: Int64 = 100) -> HostReport {
        HostReport(isInRecovery: false, systemIdentifier: system, timeline: timeline, incarnation: run)
    }

    func replica(timeline: UInt32? = 1, system: UInt64? = 7, run: Int64 = 200, of upstream: String? = nil) -> HostReport
    {
        HostReport(
            isInRecovery: true,
            systemIdentifier: system,
            timeline: timeline,
            incarnation: run,
            upstream: upstream
        )
    }

    var services: [ServiceClass] { machine.hosts.map(\.serves) }

    @discardableResult
    mutating func handle(_ event: TopologyMachine.Event) -> [Action] { machine.handle(event, now: now) }

    @discardableResult
    mutating func answer(_ host: Int, _ report: HostReport) -> [Action] {
        handle(.reported(host: host, report, asked: now))
    }

    /// To a connection that is to serve users.
    @discardableResult
    mutating func admit(_ host: Int, _ report: HostReport, asked: ContinuousClock.Instant? = nil) -> [Action] {
        handle(.admitted(host: host, report, asked: asked ?? now, as: machine.reach(of: report, at: host)))
    }

    /// The same as last time.
    @discardableResult
    mutating func answer(_ hosts: Int...) -> [Action] {
        hosts.flatMap { host in machine.hosts[host].report.map { answer(host, $0) } ?? [] }
    }

    @discardableResult
    mutating func fail(
        _ host: Int,
        _ kind: HostFailure.Kind = .refused,
        fresh: Bool = true,
        heard: Bool = false
    ) -> [Action] {
        handle(.failed(host: host, HostFailure(kind, reason: "because"), fresh: fresh, heard: heard))
    }

    @discardableResult
    mutating func pass(_ time: Duration, stall: Duration = .zero) -> [Action] {
        now += time
        return handle(.timePassed(stall: stall))
    }

    /// Out, and back 100 ms later.
    mutating func flap(_ host: Int, times: Int = 1) {
        for _ in 0..<times {
            fail(host)
            now += .milliseconds(100)
            answer(host)
        }
    }
}

extension [TopologyMachine.Action] {
    var events: [ClusterEvent.Kind] {
        compactMap { action in
            if case .emit(let event) = action { event.kind } else { nil }
        }
    }
}

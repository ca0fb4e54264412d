// SPDX-License-Identifier: Apache-2.0

import PosthousePool

@testable import PosthouseCluster

/// A random history of servers that crash, freeze, are promoted, copied and come back, and of operators who add, drain and
/// remove hosts; and the machine that is told of it.
///
/// The model knows what the servers really are. It keeps its own account of what the machine was told, and judges by that
/// what follows; the machine's own fields are asked only where they say what evidence it has.
struct TopologyWalk {
    /// What a server really is, as opposed to what has been seen of it.
    struct Server {
        var system: UInt64 = 7
        var timeline: UInt32 = 1
        var isInRecovery: Bool
        var run: Int64
        var isAnswering = true
        var upstream: String?

        var report: HostReport {
            HostReport(
                isInRecovery: isInRecovery,
                systemIdentifier: system,
                timeline: timeline,
                incarnation: run,
                upstream: isInRecovery ? upstream : nil
            )
        }
    }

    /// One host as the model sees it.
    struct Host {
        /// Two names may lead to one server.
        var server: Int
        var isDrained = false
        var isRemoved = false
        var isHeard = false
        var served: ServiceClass = []
        /// Leases of before may still send.
        var isOpen = false
        /// When its last answer was asked for, as far as it can still count.
        var vouchedAt: ContinuousClock.Instant?
        var failedAt: ContinuousClock.Instant?
        var misses = 0
        /// When it went out, after it had answered.
        var outages: [ContinuousClock.Instant] = []
    }

    let fencing: FencingRule
    let life: Duration
    var random: SeededGenerator
    var servers: [Server]
    var hosts: [Host]
    var machine: TopologyMachine
    var now = ContinuousClock.now
    var mayHavePrimarySince: ContinuousClock.Instant?
    var hadPrimary = false
    var fixedIdentity: UInt64?
    var highest: [UInt64: UInt32] = [:]
    var rejected: (system: UInt64, timelines: ClosedRange<UInt32>)?
    /// As in a common archive: no number is given twice.
    var lastTimelines: [UInt64: UInt32] = [:]
    var question: Int?
    var step = 0
    /// The first promise that was broken.
    var violation: String?

    init(seed: UInt64, guards: TopologyMachine.Guards = .all) {
        var random = SeededGenerator(seed: seed)
        let count = Int.random(in: 1...5, using: &random)
        fencing = [.follow, .witness, .refuse][Int(seed % 3)]
        servers = (0..<count).map { Server(isInRecovery: $0 != 0, run: Int64($0) * 1000) }
        hosts = (0..<count).map { Host(server: $0) }
        if count > 2 {
            if random.oneIn(2) { servers[count - 1].system = 666 }
            if random.oneIn(3) { hosts[1].server = 0 }
            // A copy of the primary, on its timeline.
            if random.oneIn(4) { servers[1].isInRecovery = false }
            for server in servers.indices where servers[server].isInRecovery { servers[server].upstream = "db0:5432" }
        }
        let settings = TopologyMachine.Settings(fencing: fencing, guards: guards)
        life = settings.evidenceLife
        machine = TopologyMachine(labels: (0..<count).map { "db\($0):5432" }, settings: settings)
        self.random = random
    }

    /// - Returns: The first promise that was broken, and when.
    static func violation(seed: UInt64, guards: TopologyMachine.Guards = .all) -> String? {
        var walk = TopologyWalk(seed: seed, guards: guards)
        while walk.step < 300, walk.violation == nil {
            walk.takeStep()
            walk.step += 1
        }
        if walk.violation == nil { walk.comeToRest() }
        return walk.violation.map { "seed \(seed), step \(walk.step): \($0)" }
    }

    mutating func expect(_ holds: Bool, _ promise: @autoclosure () -> String) {
        if !holds && violation == nil { violation = promise() }
    }

    var active: [Int] { hosts.indices.filter { !hosts[$0].isRemoved } }

    func label(_ host: Int) -> String { "db\(host):5432" }

    // MARK: - What happens

    private mutating func takeStep() {
        now += .milliseconds(Int.random(in: 0...500, using: &random))
        if random.oneIn(60) { now += .seconds(6) }
        wake()
        if step < 10, random.oneIn(8) { endGrace() }
        guard let host = active.randomElement(using: &random) else { return }
        switch Int.random(in: 0..<22, using: &random) {
        case 0: promote(hosts[host].server)
        case 1: restart(hosts[host].server)
        case 2: servers[hosts[host].server].isAnswering.toggle()
        case 3: quietly(.suspected(host: host, .connectionLost), "a suspicion")
        case 4: quietly(.failed(host: host, HostFailure(.local, reason: "EMFILE"), fresh: true), "a local fault")
        case 5: busy(host)
        case 6, 12: operate(on: host)
        case 7: testify()
        case 8: answerLate(host)
        case 9: flap(host)
        case 10 where mayHavePrimarySince == nil && active.count > 1: remove(host)
        case 13 where random.oneIn(20): endGrace()
        case 11 where random.oneIn(10):
            meet(servers[Int.random(in: servers.indices, using: &random)].report, at: host)
        default: ask(host)
        }
    }

    /// A new connection reaches whoever is behind the address: it may lead elsewhere for a moment.
    private mutating func meet(_ report: HostReport, at host: Int) {
        let reach = machine.reach(of: report, at: host)
        if reach == .theSame || reach == .another && machine.hosts[host].outage != nil {
            hosts[host].vouchedAt = now
            hosts[host].misses = 0
        }
        if reach == .theSame { hosts[host].isHeard = true }
        handle(.admitted(host: host, report, asked: now, as: reach))
    }

    private mutating func endGrace() {
        mayHavePrimarySince = mayHavePrimarySince ?? now
        handle(.graceEnded)
    }

    /// Promotion: whatever it was, it writes a new timeline now; or the same, if somebody made it a primary by hand.
    private mutating func promote(_ server: Int) {
        guard servers[server].isInRecovery else { return }
        if random.oneIn(4) {
            servers[server].run += 1
        } else {
            let system = servers[server].system
            servers[server].timeline = max(top(of: system), lastTimelines[system] ?? 0) + 1
            lastTimelines[system] = servers[server].timeline
        }
        servers[server].isInRecovery = false
    }

    private func top(of system: UInt64) -> UInt32 {
        servers.filter { $0.system == system }.map(\.timeline).max() ?? 1
    }

    /// As it was, or as a replica of the highest timeline, or as another database, because it lost its disk.
    private mutating func restart(_ server: Int) {
        servers[server].run += 1
        servers[server].isAnswering = true
        if random.oneIn(15) {
            servers[server].system = 666
            servers[server].timeline = 1
            servers[server].isInRecovery = false
        } else if Bool.random(using: &random) {
            servers[server].isInRecovery = true
            servers[server].timeline = top(of: servers[server].system)
            let primaries = hosts.indices.filter { !servers[hosts[$0].server].isInRecovery }
            servers[server].upstream = primaries.randomElement(using: &random).map(label)
        }
    }

    private mutating func ask(_ host: Int) {
        let server = servers[hosts[host].server]
        if server.isAnswering { return report(host, server.report, asked: now) }
        let kinds: [HostFailure.Kind] = [
            .refused, .timedOut, .unreachable, .lost, .starting, .misconfigured, .garbage,
        ]
        fail(host, kinds.randomElement(using: &random) ?? .refused, fresh: Bool.random(using: &random))
    }

    private mutating func fail(_ host: Int, _ kind: HostFailure.Kind, fresh: Bool) {
        let heard = random.oneIn(4)
        let failure = HostFailure(kind, reason: "\(kind)")
        let event = TopologyMachine.Event.failed(host: host, failure, fresh: fresh, heard: heard)
        let isMiss = kind == .timedOut || kind == .unreachable || kind == .lost && fresh
        if isMiss { hosts[host].misses += 1 }
        let record = machine.hosts[host]
        if heard, isMiss, record.isAnswering, !record.isShared, let reportedAt = record.reportedAt {
            let last = reportedAt + life * (TopologyMachine.mostRenewals - 1)
            hosts[host].vouchedAt = max(hosts[host].vouchedAt ?? last, min(now, last))
        }
        let isProof = isMiss ? hosts[host].misses >= 2 && fresh && !heard : kind != .lost
        hosts[host].failedAt = now
        hosts[host].isHeard = true
        if isProof { handle(event) } else { quietly(event, "what is no proof") }
    }

    private mutating func busy(_ host: Int) {
        hosts[host].failedAt = now
        hosts[host].isHeard = true
        hosts[host].vouchedAt = now
        quietly(.failed(host: host, HostFailure(.busy, reason: "53300"), fresh: true), "a full server")
    }

    /// Out and back again, a few times.
    private mutating func flap(_ host: Int) {
        guard random.oneIn(4) else { return }
        servers[hosts[host].server].isAnswering = true
        for _ in 0..<4 {
            now += .milliseconds(300)
            wake()
            ask(host)
            fail(host, .refused, fresh: true)
            if violation != nil { return }
        }
        now += .milliseconds(300)
        wake()
        ask(host)
    }

    /// An answer that something newer has overtaken.
    private mutating func answerLate(_ host: Int) {
        guard let known = machine.hosts[host].report, let failedAt = hosts[host].failedAt else { return }
        if machine.hosts[host].outage != nil {
            let asked = failedAt - .milliseconds(10)
            let report = servers[hosts[host].server].report
            handle(.reported(host: host, report, asked: asked))
            if report.systemIdentifier == machine.systemIdentifier, !machine.isRejected(report),
                machine.hosts[host].disowned != HostRecord.Claim(report)
            {
                let isKnown = report.timeline ?? 0 <= machine.highestTimeline ?? 0
                expect(isKnown, "a timeline is not known that came too late")
            }
            let isOut = hosts[host].served.isEmpty || machine.hosts[host].state == .busy
            expect(isOut, "an answer of before the outage ended it")
        } else if machine.hosts[host].isAnswering, !known.isInRecovery, let timeline = known.timeline, timeline > 1 {
            var late = known
            late.timeline = timeline - 1
            late.isInRecovery = Bool.random(using: &random)
            if !late.isInRecovery {
                hosts[host].vouchedAt = max(hosts[host].vouchedAt ?? now, now - .seconds(1))
                hosts[host].misses = 0
            }
            quietly(.reported(host: host, late, asked: now - .seconds(1)), "an answer that was overtaken")
        } else if machine.hosts[host].isAnswering, let timeline = known.timeline {
            // Whom it followed before, on this timeline or on an earlier one.
            var late = known
            if timeline > 1, Bool.random(using: &random) { late.timeline = timeline - 1 }
            late.upstream = random.oneIn(3) ? nil : active.randomElement(using: &random).map(label)
            let asked = (machine.hosts[host].askedAt ?? now) - .milliseconds(1)
            hosts[host].vouchedAt = max(hosts[host].vouchedAt ?? asked, asked)
            hosts[host].misses = 0
            quietly(.reported(host: host, late, asked: asked), "an answer of a replica that was overtaken")
        }
    }

    private mutating func operate(on host: Int) {
        switch Int.random(in: 0..<8, using: &random) {
        case 0:
            hosts[host].isDrained = true
            handle(.drained(host: host))
        case 1, 2:
            hosts[host].isDrained = false
            handle(.undrained(host: host))
        case 3 where active.count > 1: remove(host)
        case 4 where hosts.count < 7: add()
        case 5: handle(.preferred(host: host))
        case 6 where random.oneIn(4):
            let system: UInt64 = random.oneIn(3) ? 666 : 7
            fixedIdentity = nil
            handle(.adopted(systemIdentifier: system))
            expect(machine.systemIdentifier == system, "the adopted identity is not the cluster's")
        default: break
        }
    }

    private mutating func remove(_ host: Int) {
        let server = hosts[host].server
        hosts[host] = Host(server: server, isRemoved: true, isOpen: hosts[host].isOpen)
        let wasReplica = machine.hosts[host].report?.isInRecovery == true
        handle(.removed(host: host))
        expect(wasReplica || !hosts[host].isOpen, "leases on a primary that nobody watches any more may send")
    }

    private mutating func add() {
        if let host = hosts.indices.filter({ hosts[$0].isRemoved }).randomElement(using: &random) {
            hosts[host] = Host(server: hosts[host].server)
            handle(.added(host: host, label: label(host)))
            return
        }
        servers.append(Server(isInRecovery: true, run: Int64(servers.count) * 1000))
        hosts.append(Host(server: servers.count - 1))
        handle(.added(host: hosts.count - 1, label: label(hosts.count - 1)))
    }

    /// The witness knows, or errs, or is silent.
    private mutating func testify() {
        guard let question else { return }
        self.question = nil
        let answer = random.oneIn(3) ? nil : hosts.indices.randomElement(using: &random).map(label)
        handle(.testified(question: question, host: answer))
    }

    private mutating func report(_ host: Int, _ report: HostReport, asked: ContinuousClock.Instant) {
        let before = machine.hosts[host]
        let readers = hosts.indices.filter { $0 != host && hosts[$0].served.contains(.replica) }
        hosts[host].vouchedAt = asked
        hosts[host].misses = 0
        hosts[host].isHeard = true
        let actions = handle(.reported(host: host, report, asked: asked))
        if let former = before.report, former.incarnation != report.incarnation,
            !former.isInRecovery || before.outage != nil
        {
            expect(actions.contains(.fence(host: host)), "leases of a run that is over may send")
        }
        if let outage = before.outage, outage != .busy, isFlapping(hosts[host]) {
            let others = readers.contains { hosts[$0].served.contains(.replica) }
            let isHeld = !hosts[host].served.contains(.replica)
            expect(isHeld || !others, "a host that flaps serves reads at once")
        }
    }

    private func isFlapping(_ host: Host) -> Bool {
        let last = host.outages.suffix(HoldDown.tolerated + 1)
        guard last.count > HoldDown.tolerated else { return false }
        return zip(last, last.dropFirst() + [now]).allSatisfy { $0.duration(to: $1) < HoldDown.memory }
    }

    // MARK: - Telling the machine

    /// As the shell does it when the machine wants to be woken.
    mutating func wake() {
        guard let wakeAt = machine.wakeAt, wakeAt <= now else { return }
        if random.oneIn(4) {
            for host in hosts.indices {
                if let vouchedAt = hosts[host].vouchedAt, vouchedAt + life <= now { hosts[host].vouchedAt = now }
            }
            quietly(.timePassed(stall: .seconds(1)), "a stall of this process")
        } else {
            handle(.timePassed(stall: .zero))
        }
        expect(machine.wakeAt.map { $0 > now } ?? true, "it wants to be woken again at once")
    }

    /// What must take nothing away from anybody.
    private mutating func quietly(_ event: TopologyMachine.Event, _ cause: String) {
        let before = hosts.map(\.served)
        handle(event)
        for host in hosts.indices {
            expect(hosts[host].served.isSuperset(of: before[host]), "\(cause) took a host out")
        }
    }

    @discardableResult
    mutating func handle(_ event: TopologyMachine.Event) -> [TopologyMachine.Action] {
        let writer = hosts.firstIndex { $0.served.contains(.primary) }
        let actions = machine.handle(event, now: now)
        for action in actions {
            switch action {
            case .serve(let host, let services):
                hosts[host].served = services
                if !services.isEmpty { hosts[host].isOpen = true }
            case .fence(let host):
                hosts[host].served = []
                hosts[host].isOpen = false
            case .askWitness(let question): self.question = question
            case .emit(let event): note(event)
            default: break
            }
            let writers = hosts.count { $0.served.contains(.primary) }
            expect(writers <= 1, "two writers between two actions")
        }
        if active.allSatisfy({ hosts[$0].isHeard }) { mayHavePrimarySince = mayHavePrimarySince ?? now }
        checkInvariants()
        if machine.hadPrimary, machine.primary == nil { hadPrimary = true }
        checkFirstElection(after: event)
        checkSuccession(after: writer, by: event)
        return actions
    }

    private mutating func note(_ event: ClusterEvent) {
        guard case .stateChanged(let from, let to) = event.kind, from == .up || from == .busy,
            [.down, .starting, .frozen, .misconfigured].contains(to),
            let host = hosts.indices.first(where: { label($0) == event.host })
        else { return }
        hosts[host].outages.append(now)
    }
}

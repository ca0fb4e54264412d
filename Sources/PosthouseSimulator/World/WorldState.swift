// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePool

/// The servers, the network, and what is on its way: all that ``SimulatedWorld`` guards.
struct WorldState {
    /// A session that this process has open, whatever the server thinks of it.
    struct Session {
        var use: UInt32 = 0
        /// The server.
        var host = 0
        /// The address that it was opened to.
        var address = 0
        var isMonitors = false
        /// Whether anything was answered through it.
        var hasAnswered = false
        var incarnation: Int64 = 0
        var connection: SimulatedConnection?
        /// What it waits for.
        var exchange: Int?
        /// What its last answer said.
        var isInRecovery = false
    }

    /// What is told to an observer, outside the lock.
    enum Notice {
        case evidence(SimulatedConnection, PassiveEvidence)
        case idleInput(SimulatedConnection)
    }

    /// What is on the agenda; the first two bits of a token.
    enum Due: UInt64 {
        case step, deadline, reset, other
    }

    let time: SimulatedTime
    let isSynchronous: Bool
    let system: UInt64
    var draws: SplitMix64
    var trace: Trace
    var tally: Tally
    var evidence = Evidence()

    /// Those of this cluster, and after them a server of another one.
    var hosts: [SimulatedHost]
    /// Which server a new session at an address leads to.
    var routes: [Int] {
        didSet { if routes != oldValue { reroutedAt = now } }
    }
    /// The server whose address leads to a stranger.
    var usurped: Int?
    var perception: Perception
    /// Written to a copy: nobody else has it.
    var strays: Set<UInt64> = []
    var history = TimelineHistory()
    /// Whom the operator made the primary last.
    var primary = 0
    /// Whom it made that before.
    var former = 0
    /// When something happened to anybody last.
    var touched: Int64 = 0
    /// Since the last copy of it was started, nothing happened to the primary or to the network.
    var isPrimaryUndoubted = false
    /// When an address led to another server last than before. Sessions that were opened before lead where they led.
    var reroutedAt = Int64.min / 2
    /// For how long after that the process may not know what an address leads to, because its sessions tell it of the other.
    static let rerouting: Int64 = 5_000_000_000
    /// Up to where commits were acknowledged on the highest timeline.
    var acknowledged: UInt64 = 0

    /// Whether the way between the process and the host is cut.
    var isCut: [Bool]
    /// Pairs of hosts that do not reach each other, by `pair(_:_:)`.
    var parted: Set<Int> = []
    var loss = 0
    /// The process can open no connection.
    var isExhausted = false

    var exchanges: [Exchange] = []
    var freeExchanges: [Int] = []
    var sessions: [Session] = []
    var freeSessions: [Int] = []
    var openSessions = 0
    var notices: [Notice] = []

    init(hosts count: Int, isSynchronous: Bool, time: SimulatedTime, seed: UInt64, records: Bool) {
        self.time = time
        self.isSynchronous = isSynchronous
        system = 7_000_000_000 + seed % 1000
        draws = SplitMix64(seed: seed)
        trace = Trace(isRecording: records)
        tally = Tally(hosts: count)
        hosts = (0..<count).map { index in
            let incarnation = Int64(index + 1) * 1000
            return SimulatedHost(isInRecovery: index != 0, incarnation: incarnation, upstream: index == 0 ? nil : 0)
        }
        routes = Array(0..<count)
        perception = Perception(addresses: count)
        isCut = Array(repeating: false, count: count + 1)
        let isPrimary = Bool.random(using: &draws)
        var stranger = SimulatedHost(isInRecovery: !isPrimary, timeline: 9, incarnation: 9_000_000)
        stranger.isForeign = true
        hosts.append(stranger)
    }

    /// The servers of this cluster.
    var ours: Range<Int> { 0..<hosts.count - 1 }
    var stranger: Int { hosts.count - 1 }

    /// The address that leads to the server now.
    func address(of host: Int) -> Int? { routes.firstIndex(of: host) }

    func label(of host: Int) -> String? { address(of: host).map { SimulatedDriver.Endpoint(host: $0).description } }

    func report(of index: Int) -> HostReport {
        let host = hosts[index]
        return HostReport(
            isInRecovery: host.isInRecovery,
            systemIdentifier: host.isForeign ? system + 1000 : system,
            timeline: host.toldTimeline(at: now),
            incarnation: host.incarnation,
            position: host.position,
            address: label(of: index),
            upstream: source(of: index).flatMap(label)
        )
    }

    var now: Int64 { time.elapsed }

    mutating func draw(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &draws) }

    mutating func note(_ code: UInt64, _ line: @autoclosure () -> String) {
        trace.note(at: now, code, line())
    }

    /// How long a packet takes, in nanoseconds.
    mutating func delay() -> Int64 {
        var delay = draw(50_000...500_000)
        while loss > 0, draw(0...99) < loss { delay += 200_000_000 }
        return delay
    }

    func pair(_ one: Int, _ other: Int) -> Int { min(one, other) * hosts.count + max(one, other) }

    static func token(_ due: Due, _ index: Int, _ number: UInt32) -> UInt64 {
        due.rawValue << 62 | UInt64(index) << 32 | UInt64(number)
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseCluster
import PosthousePool

/// The servers, the network, and what is on its way: all that ``SimulatedWorld`` guards.
struct WorldState {
    /// A session that this process has open, whatever the server thinks of it.
    struct Session {
        var use: UInt32 = 0
        var host = 0
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

    var hosts: [SimulatedHost]
    var history = TimelineHistory()
    /// Whom the operator made the primary last.
    var primary = 0
    /// Whom it made that before.
    var former = 0
    /// When something happened to anybody last.
    var touched: Int64 = 0
    /// Up to where commits were acknowledged on the highest timeline.
    var acknowledged: UInt64 = 0

    /// Whether the way between the process and the host is cut.
    var isCut: [Bool]
    /// Pairs of hosts that do not reach each other, by `pair(_:_:)`.
    var parted: Set<Int> = []
    var loss = 0

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
        isCut = Array(repeating: false, count: count)
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

/// The highest timeline that a server's answer has brought to this process, and since when.
struct Evidence {
    private var timeline: UInt32 = 0
    private var at: Int64 = 0
    private var before: UInt32 = 0
    /// Since when it is known of a host that it is no replica.
    private var primaries: [Int: Int64] = [:]

    mutating func note(_ timeline: UInt32, at now: Int64) {
        guard timeline > self.timeline else { return }
        if at < now { before = self.timeline }
        (self.timeline, at) = (timeline, now)
    }

    mutating func note(isInRecovery: Bool, of host: Int, at now: Int64) {
        if isInRecovery { primaries[host] = nil } else if primaries[host] == nil { primaries[host] = now }
    }

    /// Whether the last answer of the host said that it is no replica.
    func knowsAsPrimary(_ host: Int, at now: Int64) -> Bool { primaries[host].map { $0 < now } ?? false }

    /// What every task of the process could have acted upon: what came in this very moment is still being worked on.
    func settled(at now: Int64) -> UInt32 { at < now ? timeline : before }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// One host, as far as numbers tell it: limits, counts, back-off. A trivial value, so that reading it from the machine's
/// array on every idle hit copies no references; what refers to memory is in its `SlotTable`.
struct Member {
    var rules: MemberRules

    var services: ServiceClass = []
    var softLimit: Int
    var hardLimit: Int
    /// Connections of an older generation are not handed out any more.
    var generation = 0
    /// It serves nothing any more.
    var isRemoved = false
    /// The last change of generation was a fence.
    var wasFenced = false

    /// Slots by state. Changed by `Machine.move` only.
    var idle = 0
    var leased = 0
    var claimed = 0
    var tended = 0
    var closing = 0
    var connecting = 0
    var abandoned = 0

    /// Connects that failed in a row.
    var failures = 0
    /// When the first of them did.
    var failingSince: Moment?
    /// Nothing is open, and connects have failed for so long that requests are not kept waiting for it.
    var isBroken = false
    /// No connect before this time. Cleared by the alarm, so that an idle hit need not know the time.
    var retryAt: Moment?
    /// No connect before this time: as many as a second allows have begun. Cleared by the alarm.
    var pausedUntil: Moment?
    /// No connect for the minimum before this time: the last one failed. Cleared by the alarm.
    var upkeepAt: Moment?
    /// When the housekeeper comes next; nil while nothing is open, or there is nothing to look after.
    var nextRound: Moment?
    /// How many connects may run at once while connections are open.
    var ramp = Member.rampStart
    /// All its connections were given up, and none has been opened since.
    var isReturning = false
    var isBursting = false
    /// The slot whose connection is being kept alive.
    var keptAlive: Int?

    static let rampStart = 2

    init(_ configuration: PoolConfiguration) {
        rules = MemberRules(configuration)
        softLimit = configuration.maximumSize
        hardLimit = configuration.burstLimit ?? configuration.maximumSize
    }

    /// Open connections.
    var live: Int { idle + leased + claimed + tended }
    /// Everything the server might see.
    var sockets: Int { live + connecting + abandoned + closing }
    /// Those of them that are not on their way out.
    var staying: Int { live + connecting + abandoned }
    var hasRoom: Bool { sockets < hardLimit }

    /// How many connects may run at once: all while nothing is open, so nothing can come back; one while the host is known
    /// to fail; else a few, more while nothing comes back. A few also where all were given up: the host comes back, and so do
    /// all processes that use it.
    var connectAllowance: Int {
        if failures > 0 { return 1 }
        if live == 0 && !isReturning { return rules.maximumConcurrentConnects }
        return min(ramp, rules.maximumConcurrentConnects)
    }

    var canOpen: Bool {
        retryAt == nil && pausedUntil == nil && hasRoom && connecting < connectAllowance
    }

    /// Whether a connection may be opened for those to come.
    var hasRoomAhead: Bool { canOpen && sockets < softLimit }

    /// Fewer connections than it is to keep, and room for more.
    var isBelowMinimum: Bool {
        staying < softLimit && (live + connecting < rules.minimumSize || live - leased + connecting < rules.minimumIdle)
    }

    /// How far idle connections may fall in number before one is to be opened: what is being opened counts.
    var idleFloor: Int {
        rules.minimumIdle > 0 && canOpen && upkeepAt == nil && staying < softLimit ? rules.minimumIdle - connecting : 0
    }

    /// Idle connections and those that could still be opened within the soft limit.
    var free: Int {
        retryAt == nil ? softLimit - (sockets - idle) : idle
    }

    var staleReason: CloseReason { isRemoved ? .removed : wasFenced ? .fenced : .expired }

    mutating func count(_ state: SlotState, by step: Int) {
        switch state {
        case .empty: break
        case .connecting: connecting += step
        case .abandoned: abandoned += step
        case .idle: idle += step
        case .leased: leased += step
        case .claimed: claimed += step
        case .tended: tended += step
        case .closing: closing += step
        }
    }
}

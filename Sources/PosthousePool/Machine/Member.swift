// SPDX-License-Identifier: Apache-2.0

/// One host's connections: a value, changed only by the machine.
struct Member {
    typealias Instant = ContinuousClock.Instant

    struct Slot {
        var state = SlotState.empty
        /// Which connection, of those that live here in turn. Changes when the slot becomes empty.
        var incarnation: UInt64 = 0
        /// The member's generation when the connect began.
        var generation = 0
        var affinity = 0
        /// Not yet used by anybody.
        var isFresh = false
        /// While connecting: the waiter that counts on it.
        var waiter: WaiterID?
        /// Whether that waiter asked for it, rather than finding it under way.
        var isAskedFor = false
        /// While connecting: its timeout. While abandoned: when it is written off.
        var deadline: Instant?
        /// While leased: the task that took it. Only compared.
        var holder: UInt = 0
    }

    /// The transitions: empty -> connecting -> idle <-> leased, idle <-> claimed; connecting -> leased, closing, empty;
    /// connecting -> abandoned -> closing, empty; idle, leased, claimed -> closing -> empty.
    enum SlotState: Equatable {
        case empty
        /// A connect is under way.
        case connecting
        /// A connect is under way that nobody wants: it ran into its timeout, or the pool closed.
        case abandoned
        case idle
        case leased
        /// Idle, but held by whoever serves its socket.
        case claimed
        case closing
    }

    let connectTimeout: Duration
    let backoffBase: Duration
    let backoffCap: Duration
    let maximumConcurrentConnects: Int

    var services: ServiceClass = []
    var softLimit: Int
    var hardLimit: Int
    /// Connections of an older generation are not handed out any more.
    var generation = 0
    /// The last change of generation was a fence.
    var wasFenced = false

    var slots: [Slot] = []
    var idle = SlotSet()
    var empty = SlotSet()
    /// Slots by affinity, for affinities other than 0. There are few: one per event loop.
    var homes: [(affinity: Int, slots: SlotSet)] = []

    var leased = 0
    /// How many leases have ended.
    var endedLeases: UInt64 = 0
    var claimed = 0
    var closing = 0
    /// Slots whose connect is under way, in the order it began. At most `maximumConcurrentConnects`.
    var connecting: [Int] = []
    var abandoned: [Int] = []

    /// Connects that failed in a row.
    var failures = 0
    /// No connect before this time. Cleared by the alarm, so that an idle hit need not know the time.
    var retryAt: Instant?
    /// How many connects may run at once while connections are open.
    var ramp = Member.rampStart
    var isBursting = false

    static let rampStart = 2

    /// Open connections.
    var live: Int { idle.count + leased + claimed }
    /// Everything the server might see.
    var sockets: Int { live + connecting.count + abandoned.count + closing }
    var hasRoom: Bool { sockets < hardLimit }

    /// How many connects may run at once: all while nothing is open, so nothing can come back; one while the host is known
    /// to fail; else a few, more while nothing comes back.
    var connectAllowance: Int {
        if failures > 0 { return 1 }
        if live == 0 { return maximumConcurrentConnects }
        return min(ramp, maximumConcurrentConnects)
    }

    var canOpen: Bool {
        retryAt == nil && hasRoom && connecting.count < connectAllowance
    }

    /// Idle connections and those that could still be opened within the soft limit.
    var free: Int {
        retryAt == nil ? softLimit - (sockets - idle.count) : idle.count
    }

    mutating func takeEmptySlot() -> Int {
        if let index = empty.first {
            empty.remove(index)
            return index
        }
        slots.append(Slot())
        return slots.count - 1
    }

    func isStale(_ index: Int) -> Bool {
        slots[index].generation != generation
    }

    func firstIdle(preferring affinity: Int) -> Int? {
        if affinity != 0, let home = homes.first(where: { $0.affinity == affinity }),
            let index = idle.first(in: home.slots)
        {
            return index
        }
        return idle.first
    }

    mutating func settle(_ index: Int, at affinity: Int) {
        slots[index].affinity = affinity
        guard affinity != 0 else { return }
        if let position = homes.firstIndex(where: { $0.affinity == affinity }) {
            homes[position].slots.insert(index)
        } else {
            var slots = SlotSet()
            slots.insert(index)
            homes.append((affinity, slots))
        }
    }

    /// The slot is empty: no socket, no connect. What was known of its connection is forgotten.
    mutating func vacate(_ index: Int) {
        let affinity = slots[index].affinity
        if affinity != 0, let position = homes.firstIndex(where: { $0.affinity == affinity }) {
            homes[position].slots.remove(index)
            if homes[position].slots.isEmpty { homes.remove(at: position) }
        }
        slots[index] = Slot(incarnation: slots[index].incarnation + 1)
        empty.insert(index)
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// The transitions: empty -> connecting -> idle <-> leased, idle <-> claimed, idle <-> tended, leased -> tended -> leased;
/// connecting -> leased, closing, empty; connecting -> abandoned -> closing, empty; idle, leased, claimed, tended ->
/// closing -> empty; leased -> empty (detached).
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
    /// The pool works on it: it is kept alive, or brought into order for the next request.
    case tended
    case closing
}

/// A member's slots, and where to find those in some states without looking at all.
struct SlotTable {
    struct Slot {
        fileprivate(set) var state = SlotState.empty
        /// Which connection, of those that live here in turn. Changes when the slot becomes empty.
        var incarnation: UInt64 = 0
        /// The member's generation when the connect began.
        var generation = 0
        var affinity = 0
        /// While connecting: the waiter that counts on it.
        var waiter: WaiterID?
        /// Whether that waiter asked for it, rather than finding it under way.
        var isAskedFor = false
        /// While connecting: its timeout. While abandoned: when it is written off. While tended: when that is given up.
        var deadline: Moment?
        /// When it has lived long enough. Drawn once.
        var endOfLife: Moment?
        /// Not to be handed out again, whatever else is said of it; and why.
        var retirement: CloseReason?
        /// After how many leases it is closed. As it was when the connect began.
        var maximumUses = UInt64.max
        /// How many leases of it have ended, as far as the machine was told.
        var uses: UInt64 = 0
        /// What the housekeeper found, and since when it has found just that.
        var watch: Watch?
        /// When it was last kept alive.
        var checkedAt: Moment?
        /// While leased: the task that took it. Only compared.
        var holder: UInt = 0
    }

    /// A connection as a round of the housekeeper found it. If the next round finds it idle (or leased) with as many uses, it
    /// was so all the time: nobody had to look at a clock when it was taken or came back.
    struct Watch {
        let isLeased: Bool
        let uses: UInt64
        let since: Moment
        /// Reported as leaked (while leased), or to be validated (while idle).
        var isNoted = false
    }

    private(set) var slots: [Slot] = []
    private(set) var idle = SlotSet()
    private(set) var empty = SlotSet()
    /// Slots by affinity, for affinities other than 0. There are few: one per event loop.
    private(set) var homes: [(affinity: Int, slots: SlotSet)] = []
    /// Slots whose connect is under way, wanted or not, in the order it began. Few.
    private(set) var connects: [Int] = []
    /// When the last connects began, the oldest first; as many as a second allows, if that is limited.
    var begins: [Moment] = []

    subscript(index: Int) -> Slot {
        get { slots[index] }
        _modify { yield &slots[index] }
    }

    /// Whether the slot holds the connection of this incarnation, in this state. Mutating only so that it reads in place.
    mutating func holds(_ index: Int, _ incarnation: UInt64, _ state: SlotState) -> Bool {
        index < slots.count && slots[index].incarnation == incarnation && slots[index].state == state
    }

    mutating func takeEmpty() -> Int {
        if let index = empty.first { return index }
        slots.append(Slot())
        empty.insert(slots.count - 1)
        return slots.count - 1
    }

    /// The idle connection to lease. Mutating only so that it reads in place.
    mutating func firstIdle(preferring affinity: Int) -> Int? {
        if affinity != 0 {
            for position in homes.indices where homes[position].affinity == affinity {
                if let index = idle.first(in: homes[position].slots) { return index }
            }
        }
        return idle.first
    }

    /// The idle connection to close: high slots are those of a burst.
    var lastIdle: Int? { idle.last }

    /// Returns the state it had.
    mutating func move(_ index: Int, to state: SlotState) -> SlotState {
        let before = slots[index].state
        slots[index].state = state
        switch before {
        case .idle: idle.remove(index)
        case .empty: empty.remove(index)
        case .connecting where state != .abandoned, .abandoned: connects.removeAll { $0 == index }
        default: break
        }
        switch state {
        case .idle: idle.insert(index)
        case .empty: clear(index)
        case .connecting: connects.append(index)
        default: break
        }
        return before
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

    /// What was known of the slot's connection is forgotten.
    private mutating func clear(_ index: Int) {
        let affinity = slots[index].affinity
        if affinity != 0, let position = homes.firstIndex(where: { $0.affinity == affinity }) {
            homes[position].slots.remove(index)
            if homes[position].slots.isEmpty { homes.remove(at: position) }
        }
        slots[index] = Slot(incarnation: slots[index].incarnation + 1)
        empty.insert(index)
    }
}

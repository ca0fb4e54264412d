// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// The pool's rules, as a value: what happened goes in, what to do comes out. It knows no connection, no task, no clock and
/// no lock; the time comes in with each event that needs it.
///
/// What holds after every step (`violations`):
/// - no connection is idle while a request waits that it could serve;
/// - while a request waits and a member that could serve it has room, a connect is under way there or elsewhere, or a
///   back-off runs out some day;
/// - a connect begins only while open, opening and closing connections together are below the hard limit;
/// - a request leaves the queue exactly once.
struct Machine {
    /// How long a connect, or work on a connection, that was cancelled still counts against the limits if it does not end.
    static let abandonedGrace = Duration.seconds(1)

    let policy: ConnectFailurePolicy
    let maximumWaiters: Int
    /// How long connects of a member fail before requests are refused at once.
    let breakAfter: Duration?
    let overload: OverloadControl?
    /// Its part in a budget that several pools share, if there is one.
    var budget: BudgetShare?
    var random: SplitMix64
    /// By member: numbers, and slots.
    var members: [Member] = []
    var tables: [SlotTable] = []
    var queue = WaitQueue()
    var filters = FilterTable()
    /// What any member serves.
    var served: ServiceClass = []

    /// No more requests: closed or terminated.
    var isClosing = false
    /// The close waits for connections to come back.
    var isDraining = false
    var closeDeadline: Moment?

    /// The earliest time that the shell was told to wake the machine at.
    var armed: Moment?

    init(
        policy: ConnectFailurePolicy,
        maximumWaiters: Int? = nil,
        breakAfter: Duration? = nil,
        overload: OverloadControl? = nil,
        hasBudget: Bool = false,
        seed: UInt64
    ) {
        self.policy = policy
        self.maximumWaiters = max(0, maximumWaiters ?? .max)
        self.breakAfter = breakAfter
        self.overload = overload
        self.budget = hasBudget ? BudgetShare() : nil
        self.random = SplitMix64(seed: seed)
    }

    /// Whether this slot still holds the connection that `id` names, in this state.
    mutating func holds(_ id: SlotID, _ state: SlotState) -> Bool {
        tables[id.member].holds(id.index, id.incarnation, state)
    }

    /// The only place where a slot changes its state.
    mutating func move(_ id: SlotID, to state: SlotState) {
        let before = tables[id.member].move(id.index, to: state)
        members[id.member].count(before, by: -1)
        members[id.member].count(state, by: 1)
    }

    func slotID(_ member: Int, _ index: Int) -> SlotID {
        SlotID(member: member, index: index, incarnation: tables[member].slots[index].incarnation)
    }

    func isStale(_ id: SlotID) -> Bool {
        tables[id.member].slots[id.index].generation != members[id.member].generation
    }

    mutating func arm(_ time: Moment, _ actions: inout [Action]) {
        if let armed, armed <= time { return }
        armed = time
        actions.append(.wake(time))
    }
}

// MARK: - A request comes, waits, goes

extension Machine {
    enum Entry: Equatable {
        case taken(SlotID)
        case waiting(WaiterID)
        case exhausted
        /// The last connect to this member failed, and so did those to all others that could serve the request.
        case unavailable(Int)
        /// The only member that may serve it was removed.
        case removed(Int)
    }

    /// Leases an idle connection, if there is one that would do. Nobody is overtaken: while an eligible request waits, no
    /// connection is idle.
    ///
    /// - Parameters:
    ///   - preferred: A member whose connections are taken first, if it may serve the demand.
    ///   - emptyHanded: Set to the member that should have served it (the preferred one, else the one with the most free
    ///     capacity) but had no idle connection, or that has fewer now than it is to have; a connection should be opened
    ///     there (`openAhead`).
    mutating func takeIdle(
        _ demand: Demand,
        preferring preferred: Int? = nil,
        affinity: Int = 0,
        holder: UInt = 0,
        emptyHanded: inout Int?
    ) -> SlotID? {
        guard let member = chooseIdle(demand, preferring: preferred, emptyHanded: &emptyHanded),
            let index = tables[member].firstIdle(preferring: affinity)
        else { return nil }
        let id = slotID(member, index)
        move(id, to: .leased)
        tables[member][index].holder = holder
        if emptyHanded == nil, members[member].idle < members[member].idleFloor { emptyHanded = member }
        return id
    }

    /// A request that found no idle connection a moment ago: takes one if there is one now, else enters the queue. With
    /// a `ticket` it comes back to the place it had.
    mutating func enter(
        _ demand: Demand,
        preferring preferred: Int? = nil,
        affinity: Int = 0,
        holder: UInt = 0,
        deadline: Moment,
        failsFast: Bool = false,
        ticket: WaitQueue.Ticket? = nil,
        isReturning: Bool? = nil,
        rejecting reject: Reject? = nil,
        now: Moment,
        _ actions: inout [Action]
    ) -> Entry {
        if let reject { pauseIfFresh(reject, now: now, &actions) }
        // Only now: the connect that may follow goes to whoever is first in the queue then.
        defer { if let reject { returned(reject.id, reject.condition, &actions) } }
        var emptyHanded: Int?
        if let slot = takeIdle(
            demand,
            preferring: preferred,
            affinity: affinity,
            holder: holder,
            emptyHanded: &emptyHanded
        ) {
            if let emptyHanded { openAhead(emptyHanded, now: now, &actions) }
            return .taken(slot)
        }
        if let only = demand.member, members[only].isRemoved { return .removed(only) }
        if let broken = hopeless(demand) { return .unavailable(broken) }
        let id = queue.enter(
            demand,
            preferring: preferred,
            deadline: deadline,
            holder: holder,
            failsFast: failsFast,
            ticket: ticket
        )
        cover(id, now: now, &actions)
        if queue[id.index].connect == nil { queue.noteUncovered(id.index, now: now) }
        if !(isReturning ?? (ticket != nil)), queue[id.index].connect == nil {
            if uncovered > maximumWaiters {
                queue.remove(at: id.index)
                return .exhausted
            }
            hasten(id, now: now)
        }
        let end = queue[id.index].deadline
        if end <= now {
            timeOut(id.index, &actions)
        } else {
            arm(end, &actions)
        }
        return .waiting(id)
    }

    /// While requests have been waiting for longer than the overload control bears, a new one waits for a short time only.
    private mutating func hasten(_ id: WaiterID, now: Moment) {
        guard let overload, now - queue.uncoveredSince(id.index) > overload.interval else { return }
        queue.shorten(id.index, to: now + overload.target)
    }

    /// How many wait for a connection to come back, and not for one that is being opened for them.
    private var uncovered: Int {
        queue.count - tables.reduce(0) { sum, table in sum + table.connects.count { table.slots[$0].waiter != nil } }
    }

    /// The waiting task was cancelled. Nothing happens if it was served or refused before.
    mutating func waiterCancelled(_ id: WaiterID, _ actions: inout [Action]) {
        guard queue.contains(id) else { return }
        refuse(id.index, .cancelled, &actions)
    }

    mutating func timeOut(_ index: Int, _ actions: inout [Action]) {
        let node = queue[index]
        refuse(index, node.isHastened ? .overloaded : .timedOut(held: leases(heldBy: node.holder)), &actions)
    }

    mutating func refuse(_ index: Int, _ refusal: Refusal, _ actions: inout [Action]) {
        actions.append(.fail(queue.id(at: index), refusal))
        leaveQueue(index)
    }

    /// The connect it counted on goes on, for whoever comes next.
    mutating func leaveQueue(_ index: Int) {
        if let connect = queue[index].connect {
            tables[connect.member][connect.index].waiter = nil
            tables[connect.member][connect.index].isAskedFor = false
        }
        queue.remove(at: index)
    }

    private func leases(heldBy holder: UInt) -> Int {
        guard holder != 0 else { return 0 }
        return tables.reduce(0) { sum, table in
            sum + table.slots.count { $0.state == .leased && $0.holder == holder }
        }
    }

    /// The first request that the member can serve.
    func firstWaiter(for member: Int) -> Int? {
        guard !queue.isEmpty else { return nil }
        var first: Int?
        for line in queue.lines {
            guard let head = line.head, serves(member, line.demand) else { continue }
            if let other = first, queue[other].ticket < queue[head].ticket { continue }
            first = head
        }
        return first
    }

    /// Among the members that serve the demand: the preferred one, or without such a one the most free one, if it has an
    /// idle connection, else the most free one that has. Random among equals.
    private mutating func chooseIdle(
        _ demand: Demand,
        preferring preferred: Int?,
        emptyHanded: inout Int?
    ) -> Int? {
        var preferred = preferred.flatMap { serves($0, demand) ? $0 : nil }
        if let member = preferred {
            if members[member].idle > 0 { return member }
            // One that is full leaves the choice to numbers.
            if !members[member].hasRoomAhead { preferred = nil }
        }
        let active = active(demand)
        var best: Int?
        var bestFree = Int.min
        var bestTies = 0
        var bestIdle: Int?
        var bestIdleFree = Int.min
        var bestIdleTies = 0
        for index in members.indices {
            let member = members[index]
            guard admits(index, demand), !member.services.isDisjoint(with: active), member.idle > 0 || member.canOpen
            else { continue }
            if wins(member.free, over: bestFree, ties: &bestTies) {
                best = index
                bestFree = member.free
            }
            if member.idle > 0, wins(member.free, over: bestIdleFree, ties: &bestIdleTies) {
                bestIdle = index
                bestIdleFree = member.free
            }
        }
        guard let bestIdle, let best = preferred ?? best else { return nil }
        if members[best].idle > 0 { return best }
        if members[best].connecting == 0 { emptyHanded = best }
        return bestIdle
    }

    mutating func wins(_ value: Int, over other: Int, ties: inout Int) -> Bool {
        if value < other { return false }
        if value > other {
            ties = 1
            return true
        }
        ties += 1
        return Int.random(in: 0..<ties, using: &random) == 0
    }
}

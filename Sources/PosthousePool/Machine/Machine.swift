// SPDX-License-Identifier: Apache-2.0

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
    typealias Instant = ContinuousClock.Instant

    /// How long a connect that was cancelled still counts against the limits if it does not end.
    static let abandonedGrace = Duration.seconds(1)

    let policy: ConnectFailurePolicy
    let maximumWaiters: Int
    var random: SplitMix64
    var members: [Member] = []
    var queue = WaitQueue()
    /// What any member serves.
    var served: ServiceClass = []

    /// No more requests: closed or terminated.
    var isClosing = false
    /// The close waits for connections to come back.
    var isDraining = false
    var closeDeadline: Instant?

    /// The earliest time that the shell was told to wake the machine at.
    var armed: Instant?

    init(policy: ConnectFailurePolicy, maximumWaiters: Int? = nil, seed: UInt64) {
        self.policy = policy
        self.maximumWaiters = maximumWaiters ?? .max
        self.random = SplitMix64(seed: seed)
    }

    mutating func addMember(_ configuration: PoolConfiguration) -> Int {
        members.append(
            Member(
                connectTimeout: configuration.connectTimeout,
                backoffBase: configuration.backoffBase,
                backoffCap: configuration.backoffCap,
                maximumConcurrentConnects: configuration.maximumConcurrentConnects,
                softLimit: configuration.maximumSize,
                hardLimit: configuration.burstLimit ?? configuration.maximumSize
            )
        )
        return members.count - 1
    }

    /// Whether the member may serve the demand now: by what is wanted, or, while nobody serves that, by the fallback.
    func serves(_ member: Int, _ demand: Demand) -> Bool {
        if let only = demand.member, only != member { return false }
        return !members[member].services.isDisjoint(with: active(demand))
    }

    func active(_ demand: Demand) -> ServiceClass {
        let offered = demand.member.map { members[$0].services } ?? served
        return offered.isDisjoint(with: demand.wants) ? demand.fallback : demand.wants
    }

    /// Whether this slot still holds the connection that `id` names, in this state.
    func holds(_ id: SlotID, _ state: Member.SlotState) -> Bool {
        members.indices.contains(id.member) && members[id.member].slots.indices.contains(id.index)
            && members[id.member].slots[id.index].incarnation == id.incarnation
            && members[id.member].slots[id.index].state == state
    }

    func slotID(_ member: Int, _ index: Int) -> SlotID {
        SlotID(member: member, index: index, incarnation: members[member].slots[index].incarnation)
    }

    mutating func arm(_ time: Instant, _ actions: inout [Action]) {
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
    }

    /// Leases an idle connection, if there is one that would do. Nobody is overtaken: while an eligible request waits, no
    /// connection is idle.
    ///
    /// - Parameter emptyHanded: Set to the member that had the most free capacity but no idle connection; a connection
    ///   should be opened there (`openAhead`), so that a new member does not stay without any.
    mutating func takeIdle(
        _ demand: Demand,
        affinity: Int = 0,
        holder: UInt = 0,
        emptyHanded: inout Int?
    ) -> SlotID? {
        guard let member = chooseIdle(demand, emptyHanded: &emptyHanded) else { return nil }
        guard let index = members[member].firstIdle(preferring: affinity) else { return nil }
        members[member].idle.remove(index)
        members[member].leased += 1
        members[member].slots[index].state = .leased
        members[member].slots[index].holder = holder
        return slotID(member, index)
    }

    /// A request that found no idle connection a moment ago: takes one if there is one now, else enters the queue. With
    /// a `ticket` it comes back to the place it had.
    mutating func enter(
        _ demand: Demand,
        affinity: Int = 0,
        holder: UInt = 0,
        deadline: Instant,
        ticket: WaitQueue.Ticket? = nil,
        now: Instant,
        _ actions: inout [Action]
    ) -> Entry {
        var emptyHanded: Int?
        if let slot = takeIdle(demand, affinity: affinity, holder: holder, emptyHanded: &emptyHanded) {
            if let emptyHanded { openAhead(emptyHanded, now: now, &actions) }
            return .taken(slot)
        }
        guard ticket != nil || queue.count < maximumWaiters else { return .exhausted }
        let id = queue.enter(demand, deadline: deadline, holder: holder, ticket: ticket)
        cover(id, now: now, &actions)
        if deadline <= now {
            timeOut(id.index, &actions)
        } else {
            arm(deadline, &actions)
        }
        return .waiting(id)
    }

    /// The waiting task was cancelled. Nothing happens if it was served or refused before.
    mutating func waiterCancelled(_ id: WaiterID, _ actions: inout [Action]) {
        guard queue.contains(id) else { return }
        refuse(id.index, .cancelled, &actions)
    }

    mutating func timeOut(_ index: Int, _ actions: inout [Action]) {
        refuse(index, .timedOut(held: leases(heldBy: queue[index].holder)), &actions)
    }

    mutating func refuse(_ index: Int, _ refusal: Refusal, _ actions: inout [Action]) {
        actions.append(.fail(queue.id(at: index), refusal))
        leaveQueue(index)
    }

    /// The connect it counted on goes on, for whoever comes next.
    mutating func leaveQueue(_ index: Int) {
        if let connect = queue[index].connect {
            members[connect.member].slots[connect.index].waiter = nil
            members[connect.member].slots[connect.index].isAskedFor = false
        }
        queue.remove(at: index)
    }

    private func leases(heldBy holder: UInt) -> Int {
        guard holder != 0 else { return 0 }
        return members.reduce(0) { sum, member in
            sum + member.slots.count { $0.state == .leased && $0.holder == holder }
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

    /// Among the members that serve the demand: the most free one if it has an idle connection, else the most free one
    /// that has. Random among equals.
    private mutating func chooseIdle(_ demand: Demand, emptyHanded: inout Int?) -> Int? {
        let active = active(demand)
        var best: Int?
        var bestFree = Int.min
        var bestTies = 0
        var bestIdle: Int?
        var bestIdleFree = Int.min
        var bestIdleTies = 0
        for index in members.indices {
            if let only = demand.member, only != index { continue }
            guard !members[index].services.isDisjoint(with: active) else { continue }
            let hasIdle = !members[index].idle.isEmpty
            guard hasIdle || members[index].canOpen else { continue }
            let free = members[index].free
            if wins(free, over: bestFree, ties: &bestTies) {
                best = index
                bestFree = free
            }
            if hasIdle, wins(free, over: bestIdleFree, ties: &bestIdleTies) {
                bestIdle = index
                bestIdleFree = free
            }
        }
        guard let bestIdle else { return nil }
        if let best, !members[best].idle.isEmpty { return best }
        if let best, members[best].connecting.isEmpty { emptyHanded = best }
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

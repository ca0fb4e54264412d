// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

@testable import PosthousePool

/// Something that happens to a machine. `first` and `second` choose among what is possible then (modulo), so that a
/// sequence stays meaningful when a part of it is cut out.
struct Happening: CustomStringConvertible {
    enum Kind: CaseIterable {
        case take, wait, cancel, connects, connectFails, returns, returnsDead, returnsSoiled, rejects, claim, claimEnds
        case tendEnds, detach, closes, setServices, setFilter, replaceFilter, fence, expire, resize, reconfigure
        case addMember, removeMember, advance, lieOpen, close, terminate
    }

    let kind: Kind
    let first: UInt64
    let second: UInt64

    /// Common things often, the end seldom.
    static func random(using random: inout SplitMix64) -> Happening {
        let weights: [(Kind, Int)] = [
            (.take, 12), (.wait, 16), (.cancel, 5), (.connects, 14), (.connectFails, 4), (.returns, 14),
            (.returnsDead, 3),
            (.rejects, 3), (.claim, 3), (.claimEnds, 4), (.closes, 9), (.setServices, 5), (.fence, 1), (.expire, 1),
            (.resize, 3), (.advance, 10), (.lieOpen, 8), (.returnsSoiled, 3), (.tendEnds, 5), (.detach, 1),
            (.reconfigure, 1), (.setFilter, 4), (.replaceFilter, 1), (.addMember, 1), (.removeMember, 1),
        ]
        var choice = Int.random(in: 0..<(weights.reduce(0) { $0 + $1.1 }), using: &random)
        var kind = Kind.wait
        for (candidate, weight) in weights {
            if choice < weight {
                kind = candidate
                break
            }
            choice -= weight
        }
        // About one walk in three ends with the end.
        if Int.random(in: 0..<400, using: &random) == 0 { kind = Bool.random(using: &random) ? .close : .terminate }
        return Happening(kind: kind, first: random.next() >> 40, second: random.next() >> 40)
    }

    var description: String { "\(kind)(\(first), \(second))" }
}

/// A machine and what it believes is out there, kept by other means: what it says and does must fit.
struct MachineWorld {
    enum Connection { case connecting, abandoned, open, leased, claimed, tended, closing }

    private(set) var machine: Machine
    private(set) var now = Moment.zero
    private(set) var violations: [String] = []
    private var connections: [SlotID: Connection] = [:]
    private var everSeen: Set<SlotID> = []
    private var waiting: [WaiterID: Demand] = [:]
    /// Two that there are, and one that was removed at the beginning.
    private var filters: [FilterID] = []
    /// How many leases of each connection have ended.
    private var uses: [SlotID: UInt64] = [:]
    /// Those that must come back by way of the lock.
    private var summoned: Set<SlotID> = []
    /// When connects began, by member.
    private var begins: [Int: [Moment]] = [:]
    /// Leases that were granted to a request that waited, and might still turn out dead.
    private var granted: [SlotID: WaiterID] = [:]
    private var alarm: Moment?
    private var openCloses = 0
    /// What following an action brought.
    private var late: [Action] = []

    private static let demands: [Demand] = [
        Demand(wants: ServiceClass(rawValue: 1)),
        Demand(wants: ServiceClass(rawValue: 2)),
        Demand(wants: ServiceClass(rawValue: 2), fallback: ServiceClass(rawValue: 1)),
        Demand(wants: .all),
        Demand(wants: .all, member: 0),
        Demand(
            wants: ServiceClass(rawValue: 2),
            fallback: ServiceClass(rawValue: 4),
            further: [ServiceClass(rawValue: 1)]
        ),
    ]

    private func demand(_ choice: UInt64) -> Demand {
        var demand = Self.demands[Int(choice) % Self.demands.count]
        let filter = Int(choice / 64 % 8)
        if filters.indices.contains(filter) { demand.filter = filters[filter] }
        return demand
    }

    /// Some member, or none, that a request prefers.
    private func preference(_ choice: UInt64) -> Int? {
        let member = Int(choice / 16 % 8)
        return machine.members.indices.contains(member) ? member : nil
    }

    /// How work leaves a connection.
    private static let conditions: [Condition] = [
        .usable, .usable, .usable, .usable, .usable, .unfit, .closed, .invalid(isCancellation: false),
    ]

    init(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        machine = Machine(
            policy: Bool.random(using: &random) ? .keepWaiting : .failRequester,
            maximumWaiters: Bool.random(using: &random) ? 12 : nil,
            breakAfter: Bool.random(using: &random) ? .seconds(3) : nil,
            overload: Bool.random(using: &random)
                ? OverloadControl(target: .milliseconds(50), interval: .milliseconds(500)) : nil,
            seed: random.next()
        )
        for _ in 0..<Int.random(in: 1...3, using: &random) { addMember(Self.configuration(&random)) }
        for members in [[0], [0, 1], [2]] { filters.append(machine.addFilter(MemberSet(members))) }
        let removed = filters[2]
        step { machine, now, actions in machine.removeFilter(removed, now: now, &actions) }
    }

    private mutating func addMember(_ configuration: PoolConfiguration) {
        let member = machine.addMember(configuration)
        step { machine, now, actions in
            machine.setServices(ServiceClass(rawValue: 3), for: member, now: now, &actions)
        }
    }

    private static func configuration(_ random: inout SplitMix64) -> PoolConfiguration {
        let soft = Int.random(in: 1...4, using: &random)
        func sometimes<Value>(_ value: Value) -> Value? { Bool.random(using: &random) ? value : nil }
        return PoolConfiguration(
            maximumSize: soft,
            burstLimit: sometimes(soft + Int.random(in: 0...4, using: &random)),
            connectTimeout: .seconds(2),
            backoffBase: .milliseconds(100),
            backoffCap: .seconds(1),
            maximumConcurrentConnects: Int.random(in: 1...4, using: &random),
            minimumSize: sometimes(Int.random(in: 0...soft, using: &random)) ?? 0,
            minimumIdle: sometimes(Int.random(in: 0...soft, using: &random)) ?? 0,
            maximumConnectRate: sometimes(Int.random(in: 1...4, using: &random)),
            idleTimeout: sometimes(.seconds(2)),
            maximumLifetime: sometimes(.seconds(4)),
            lifetimeJitter: 0.5,
            maximumUses: sometimes(3),
            keepAliveInterval: sometimes(.seconds(1)),
            validation: sometimes(.ifIdle(longerThan: .seconds(1))) ?? .never,
            workTimeout: .milliseconds(700),
            leakDetectionThreshold: sometimes(.seconds(3))
        )
    }

    // MARK: - What happens

    mutating func apply(_ happening: Happening) {
        let first = happening.first
        let second = happening.second
        switch happening.kind {
        case .take: take(demand(first), preferring: preference(second), affinity: Int(second % 3))
        case .wait: wait(demand(first), preferring: preference(first / 4), for: .milliseconds(Int(second % 8000)))
        case .cancel:
            guard let id = pick(Array(waiting.keys).sorted { $0.ticket < $1.ticket }, first) else { return }
            step { machine, _, actions in machine.waiterCancelled(id, &actions) }
            if waiting[id] != nil { fail("a cancelled request waits on") }
        case .connects:
            guard let id = pick(.connecting, .abandoned, first) else { return }
            connections[id] = .open
            step { machine, now, actions in machine.connected(id, affinity: Int(second % 3), now: now, &actions) }
        case .connectFails:
            guard let id = pick(.connecting, .abandoned, first) else { return }
            connections[id] = nil
            step { machine, now, actions in machine.connectFailed(id, now: now, &actions) }
        case .returns: giveBack(first, .usable)
        case .returnsSoiled: giveBack(first, .soiled)
        case .tendEnds:
            guard let id = pick(.tended, .tended, first) else { return }
            connections[id] = .open
            step { machine, now, actions in
                machine.tended(id, Self.conditions[Int(second % 8)], now: now, &actions)
            }
        case .detach:
            guard let id = pick(.leased, .leased, first) else { return }
            connections[id] = nil
            granted[id] = nil
            step { machine, now, actions in machine.detached(id, now: now, &actions) }
        case .reconfigure:
            let member = Int(first) % machine.members.count
            var random = SplitMix64(seed: second)
            let configuration = Self.configuration(&random)
            begins[member] = []
            step { machine, now, actions in machine.reconfigure(member, configuration, now: now, &actions) }
        case .returnsDead: giveBack(first, second % 2 == 0 ? .closed : .invalid(isCancellation: false))
        case .rejects: reject(first, second)
        case .claim:
            guard let id = pick(.open, .open, first) else { return }
            let isIdle = machine.tables[id.member].idle.contains(id.index)
            connections[id] = .claimed
            if machine.claim(id) != isIdle { fail("a claim of what is not idle") }
        case .claimEnds:
            guard let id = pick(.claimed, .claimed, first) else { return }
            connections[id] = .open
            step { machine, _, actions in machine.claimEnded(id, second % 3 == 0 ? .evict : .keep, &actions) }
        case .closes:
            guard let id = pick(.closing, .closing, first) else { return }
            connections[id] = nil
            step { machine, now, actions in machine.closed(id, now: now, &actions) }
        case .setServices:
            let services = ServiceClass(rawValue: UInt8(second % 8))
            let member = Int(first) % machine.members.count
            step { machine, now, actions in machine.setServices(services, for: member, now: now, &actions) }
        case .setFilter:
            let filter = filters[Int(first % 2)]
            let members = MemberSet((0..<5).filter { second & 1 << UInt64($0) != 0 })
            step { machine, now, actions in machine.setFilter(filter, members, now: now, &actions) }
        case .replaceFilter:
            let index = Int(first % 2)
            let filter = filters[index]
            step { machine, now, actions in machine.removeFilter(filter, now: now, &actions) }
            filters[index] = machine.addFilter(MemberSet((0..<5).filter { second & 1 << UInt64($0) != 0 }))
            // Those that wait with the old one are served by nobody.
            if machine.filters[filter] != nil { fail("a removed filter is there") }
        case .addMember:
            guard !machine.isClosing, machine.members.count < 6 else { return }
            var random = SplitMix64(seed: second)
            addMember(Self.configuration(&random))
        case .removeMember:
            let member = Int(first) % machine.members.count
            step { machine, now, actions in machine.removeMember(member, now: now, &actions) }
        case .fence:
            let member = Int(first) % machine.members.count
            step { machine, now, actions in machine.fence(member, now: now, &actions) }
        case .expire:
            let member = Int(first) % machine.members.count
            step { machine, now, actions in machine.expire(member, now: now, &actions) }
        case .resize:
            let member = Int(first) % machine.members.count
            let soft = 1 + Int(second % 5)
            step { machine, now, actions in
                machine.resize(member, soft: soft, hard: soft + Int(second / 5 % 3), now: now, &actions)
            }
        case .lieOpen: lieOpen(Int(first) % machine.members.count, second)
        case .advance: advance(by: .milliseconds(Int(first % 1500)))
        case .close:
            openCloses += 1
            let deadline = second % 2 == 0 ? nil : now + .seconds(Int(first % 3))
            step { machine, now, actions in machine.close(deadline: deadline, now: now, &actions) }
        case .terminate:
            step { machine, now, actions in machine.terminate(now: now, &actions) }
            if openCloses > 0 { fail("a terminated pool closes on") }
        }
    }

    /// What takers and givers do while a calm member's connections lie open; then the machine catches up.
    private mutating func lieOpen(_ member: Int, _ choices: UInt64) {
        guard machine.isCalm(member) else { return }
        var word = OpenWord.withdrawn.opening(machine.tables[member].idle.word(0))
        for choice in 0..<12 {
            let takes = choices & 1 << UInt64(choice) != 0
            if takes, let (next, slot) = word.taking(from: .max) {
                word = next
                connections[machine.slotID(member, slot)] = .leased
            } else if let id = pick(
                connections.filter { mayGive($0.key, $0.value, member) }.keys.sorted { $0.index < $1.index },
                choices >> UInt64(choice)
            ) {
                word = word.giving(id.index)!
                connections[id] = .open
                uses[id, default: 0] += 1
                granted[id] = nil
            }
        }
        machine.catchUp(member, word: 0, open: word.withdrawing().idle)
        step { _, _, _ in }
    }

    /// Others come back by way of the lock.
    private func mayGive(_ id: SlotID, _ connection: Connection, _ member: Int) -> Bool {
        guard id.member == member, connection == .leased, !summoned.contains(id) else { return false }
        return uses[id, default: 0] + 1 < machine.tables[member].slots[id.index].maximumUses
    }

    private mutating func take(_ demand: Demand, preferring preferred: Int?, affinity: Int) {
        var emptyHanded: Int?
        let preferredIdle = preferred.map { machine.serves($0, demand) && machine.members[$0].idle > 0 } ?? false
        guard
            let id = machine.takeIdle(
                demand,
                preferring: preferred,
                affinity: affinity,
                holder: 7,
                emptyHanded: &emptyHanded
            )
        else {
            if preferredIdle { fail("an idle connection of the preferred member was not taken") }
            return
        }
        if preferredIdle, id.member != preferred { fail("an idle connection of another member was preferred") }
        lease(id, to: nil, demand)
        if let emptyHanded { step { machine, now, actions in machine.openAhead(emptyHanded, now: now, &actions) } }
    }

    private mutating func wait(
        _ demand: Demand,
        preferring preferred: Int? = nil,
        for timeout: Duration,
        ticket: WaitQueue.Ticket? = nil,
        rejecting reject: Reject? = nil
    ) {
        guard !machine.isClosing else { return }
        let deadline = now + timeout
        var entered: Machine.Entry?
        step(before: { world in
            // The request is known before the actions of its own step are looked at.
            if case .waiting(let id)? = entered {
                if world.waiting.updateValue(demand, forKey: id) != nil { world.fail("a ticket used twice") }
            }
        }) { machine, now, actions in
            entered = machine.enter(
                demand,
                preferring: preferred,
                deadline: deadline,
                ticket: ticket,
                rejecting: reject,
                now: now,
                &actions
            )
        }
        if case .taken(let id)? = entered { lease(id, to: nil, demand) }
        if case .exhausted? = entered, ticket != nil { fail("a request that came back was turned away") }
    }

    private mutating func giveBack(_ choice: UInt64, _ condition: Condition) {
        guard let id = pick(.leased, .leased, choice) else { return }
        connections[id] = .open
        granted[id] = nil
        let uses = uses[id, default: 0] + 1
        self.uses[id] = uses
        step { machine, _, actions in machine.returned(id, condition, uses: uses, &actions) }
    }

    /// A connection turned out dead when it was handed to a request; that comes back with its ticket.
    private mutating func reject(_ choice: UInt64, _ second: UInt64) {
        guard let id = pick(granted.keys.sorted { ($0.member, $0.index) < ($1.member, $1.index) }, choice) else {
            return
        }
        guard let waiter = granted.removeValue(forKey: id) else { return }
        connections[id] = .open
        let reject = Reject(id: id, condition: .closed, isFirstUse: second % 2 == 0)
        // Some are cancelled meanwhile, and come back no more.
        if second % 5 == 0 || machine.isClosing {
            step { machine, now, actions in machine.rejected(reject, now: now, &actions) }
            return
        }
        wait(
            demand(second),
            for: .milliseconds(Int(second % 4000)),
            ticket: waiter.ticket,
            rejecting: reject
        )
    }

    private mutating func advance(by duration: Duration) {
        let end = now + duration
        while let due = alarm, due <= end {
            now = max(now, due)
            ring()
        }
        now = end
    }

    private mutating func ring() {
        alarm = nil
        for (id, uses) in uses where connections[id] != nil { machine.tables[id.member][id.index].uses = uses }
        step(before: { world in
            // Written off: whoever still connects there is unknown to the machine.
            for (id, connection) in world.connections where connection == .abandoned {
                if !world.machine.holds(id, .abandoned) { world.connections[id] = nil }
            }
        }) { machine, now, actions in
            machine.alarmRang(now: now, &actions)
        }
        if let (_, at) = machine.queue.firstDeadline, at <= now { fail("a request waits beyond its deadline") }
    }

    // MARK: - What the machine says

    private mutating func step(
        before: (inout MachineWorld) -> Void = { _ in },
        _ event: (inout Machine, Moment, inout [Action]) -> Void
    ) {
        var actions: [Action] = []
        event(&machine, now, &actions)
        before(&self)
        for action in actions { follow(action) }
        for case .wake(let time) in late { alarm = min(alarm ?? time, time) }
        late = []
        violations += machine.violations
        check()
    }

    private mutating func follow(_ action: Action) {
        switch action {
        case .grant(let waiter, let id):
            guard let demand = waiting.removeValue(forKey: waiter) else { return fail("granted to nobody") }
            for (other, wish) in waiting where other.ticket < waiter.ticket && machine.serves(id.member, wish) {
                fail("\(waiter) overtook \(other)")
            }
            lease(id, to: waiter, demand)
        case .fail(let waiter, _):
            if waiting.removeValue(forKey: waiter) == nil { fail("refused a request that does not wait") }
        case .connect(let id):
            if !everSeen.insert(id).inserted { fail("\(id) opened twice") }
            connections[id] = .connecting
            let sockets = connections.keys.count { $0.member == id.member }
            if sockets > machine.members[id.member].hardLimit { fail("\(sockets) sockets at member \(id.member)") }
            if machine.isClosing { fail("a connect in a closed pool") }
            let member = machine.members[id.member]
            if member.connecting > member.rules.maximumConcurrentConnects { fail("\(member.connecting) connects") }
            begins[id.member, default: []].append(now)
            let recent = begins[id.member, default: []].count { $0 > now - .seconds(1) }
            if let rate = machine.members[id.member].rules.maximumConnectRate, recent > rate {
                fail("\(recent) connects within a second")
            }
        case .abandonConnect(let id, _):
            if connections[id] != .connecting { fail("\(id) is not connecting") }
            connections[id] = .abandoned
        case .close(let id, _), .drop(let id, _):
            if connections[id] != .open { fail("\(id) closed while \(connections[id] as Any)") }
            connections[id] = .closing
        case .interrupt(let id, _):
            if connections[id] != .leased, connections[id] != .tended { fail("interrupted \(id), which rests") }
        case .tend(let id, _):
            if connections[id] != .open { fail("\(id) tended while \(connections[id] as Any)") }
            connections[id] = .tended
            machine.tendingBegan(id, now: now, &late)
        case .cancelTending(let id, _):
            if connections[id] != .tended { fail("\(id) is not tended") }
        case .forget(let id):
            if connections[id] != .tended { fail("\(id) written off while \(connections[id] as Any)") }
            connections[id] = nil
        case .summon(let id):
            if connections[id] != .leased { fail("summoned \(id), which is not leased") }
            summoned.insert(id)
        case .doubt(let id):
            if connections[id] != .open { fail("doubted \(id), which is not idle") }
        case .leak(let id, let held, _):
            if connections[id] != .leased { fail("\(id) leaked, but is not leased") }
            let threshold = machine.members[id.member].rules.leakThreshold
            if threshold.map({ held < $0 }) ?? true { fail("a leak after \(held)") }
            summoned.insert(id)
        case .wake(let time): alarm = min(alarm ?? time, time)
        case .finishClose: openCloses = 0
        case .voidPermits, .burstStarted, .burstStopped, .limitReached, .broken, .repaired, .wishPlace,
            .returnPlaces:
            break
        }
    }

    private mutating func lease(_ id: SlotID, to waiter: WaiterID?, _ demand: Demand) {
        if connections[id] != .open { fail("leased \(id), which is \(connections[id] as Any)") }
        connections[id] = .leased
        granted[id] = waiter
        if waiter == nil {
            if waiting.contains(where: { machine.serves(id.member, $0.value) }) { fail("a newcomer overtook") }
        }
        if !machine.serves(id.member, demand) { fail("\(id) does not serve \(demand)") }
    }

    private mutating func check() {
        for member in machine.members.indices {
            let sockets = connections.keys.count { $0.member == member }
            if sockets != machine.members[member].sockets {
                fail("\(sockets) sockets at member \(member), believed \(machine.members[member].sockets)")
            }
        }
        if waiting.count != machine.queue.count { fail("\(waiting.count) wait, \(machine.queue.count) believed to") }
        if machine.isClosing, openCloses > 0, machine.isDrained() { fail("drained, but a close waits") }
    }

    // MARK: - The end

    /// Everything ends as it should: then nothing may be left over.
    mutating func settle() {
        for member in machine.members.indices {
            step { machine, now, actions in
                machine.setServices(ServiceClass(rawValue: 3), for: member, now: now, &actions)
            }
        }
        for filter in filters {
            step { machine, now, actions in machine.setFilter(filter, MemberSet(0..<6), now: now, &actions) }
        }
        finish(isPatient: true)
        advance(by: .seconds(20))
        finish(isPatient: false)
        if !waiting.isEmpty { fail("\(waiting.count) requests wait for ever") }
        for (id, connection) in connections where connection != .open { fail("\(id) stays \(connection)") }
        for (index, member) in machine.members.enumerated() {
            if member.sockets != member.idle { fail("member \(index) has lost a place") }
            if member.sockets > member.softLimit { fail("member \(index) stays above its soft limit") }
            if !machine.isClosing, !member.isRemoved, member.isBelowMinimum, member.canOpen, member.upkeepAt == nil {
                fail("member \(index) stays below its minimum")
            }
        }
        if machine.isClosing, !connections.isEmpty { fail("connections of a closed pool stay open") }
    }

    /// What is under way ends well; time passes if it must.
    private mutating func finish(isPatient: Bool) {
        for _ in 0..<10_000 {
            let kinds: [Happening.Kind] = [.claimEnds, .tendEnds, .returns, .closes, .connects]
            for kind in kinds { apply(Happening(kind: kind, first: 0, second: 1)) }
            if waiting.isEmpty, connections.values.allSatisfy({ $0 == .open }) { return }
            if isPatient, connections.values.allSatisfy({ $0 == .open || $0 == .connecting }) {
                advance(by: .milliseconds(10))
            }
        }
    }

    private mutating func fail(_ what: String) { violations.append(what) }

    private func pick<Element>(_ elements: [Element], _ choice: UInt64) -> Element? {
        elements.isEmpty ? nil : elements[Int(choice) % elements.count]
    }

    private func pick(_ one: Connection, _ other: Connection, _ choice: UInt64) -> SlotID? {
        // Picking an open connection means an idle one: open in the world is idle in the machine.
        pick(
            connections.filter { $0.value == one || $0.value == other }.keys
                .sorted { ($0.member, $0.index, $0.incarnation) < ($1.member, $1.index, $1.incarnation) },
            choice
        )
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

@testable import PosthousePool

/// Several pools that share a budget, and orders of the ledger that arrive late and in any order.
struct BudgetWorld {
    enum Event: CaseIterable {
        case request, cancel, giveBack, connected, connectFailed, closed, deliver, advance, close
    }

    private enum Connection { case connecting, abandoned, idle, leased, closing }

    private(set) var ledger: BudgetLedger
    private(set) var machines: [Machine] = []
    private(set) var violations: [String] = []
    private var connections: [[SlotID: Connection]]
    private var waiting: [Set<WaiterID>]
    private var orders: [BudgetLedger.Order] = []
    /// What pools have said, and the ledger has not heard yet.
    private var wishes: [(party: Int, wish: PlaceWish, number: UInt64)] = []
    private var alarms: [Moment?]
    private var now = Moment.zero
    private var random: SplitMix64

    init(seed: UInt64, limit: Int? = nil, pools: Int? = nil, minimumSize: Int? = nil) {
        random = SplitMix64(seed: seed)
        let count = pools ?? Int.random(in: 2...4, using: &random)
        ledger = BudgetLedger(limit: limit ?? Int.random(in: 1...6, using: &random))
        connections = Array(repeating: [:], count: count)
        waiting = Array(repeating: [], count: count)
        alarms = Array(repeating: nil, count: count)
        for index in 0..<count {
            machines.append(Machine(policy: .keepWaiting, hasBudget: true, seed: random.next()))
            let member = machines[index].addMember(
                PoolConfiguration(
                    maximumSize: Int.random(in: 1...5, using: &random),
                    connectTimeout: .seconds(1),
                    backoffCap: .milliseconds(200),
                    minimumSize: minimumSize ?? Int.random(in: 0...1, using: &random)
                )
            )
            step(index) { $0.setServices(.all, for: member, now: $1, &$2) }
        }
    }

    /// Something random that is possible.
    mutating func move() {
        // The end of a pool is rare.
        let events = Event.allCases.filter { $0 != .close || Int.random(in: 0..<40, using: &random) == 0 }
        apply(events.randomElement(using: &random)!, to: Int.random(in: machines.indices, using: &random))
    }

    mutating func apply(_ event: Event, to index: Int) {
        switch event {
        case .request: request(index)
        case .cancel:
            guard let id = waiting[index].min(by: { $0.ticket < $1.ticket }) else { return }
            step(index) { $0.waiterCancelled(id, &$2) }
        case .giveBack: change(index, from: .leased, to: .idle) { $0.returned($1, .usable, &$3) }
        case .connected:
            guard change(index, from: .connecting, to: .idle, { $0.connected($1, affinity: 0, now: $2, &$3) }) else {
                change(index, from: .abandoned, to: .idle) { $0.connected($1, affinity: 0, now: $2, &$3) }
                return
            }
        case .connectFailed: change(index, from: .connecting, to: nil) { $0.connectFailed($1, now: $2, &$3) }
        case .closed: change(index, from: .closing, to: nil) { $0.closed($1, now: $2, &$3) }
        case .deliver: deliver()
        case .advance: advance(.milliseconds(Int.random(in: 0...600, using: &random)))
        case .close: step(index) { $0.close(deadline: nil, now: $1, &$2) }
        }
    }

    private mutating func request(_ index: Int) {
        guard !machines[index].isClosing else { return }
        var entry: Machine.Entry?
        step(
            index,
            { world in
                switch entry {
                case .taken(let id)?: world.lease(index, id)
                case .waiting(let id)?: world.waiting[index].insert(id)
                default: break
                }
            }
        ) { entry = $0.enter(Demand(wants: .all), deadline: $1 + .seconds(1000), now: $1, &$2) }
    }

    @discardableResult
    private mutating func change(
        _ index: Int,
        from before: Connection,
        to after: Connection?,
        _ event: (inout Machine, SlotID, Moment, inout [Action]) -> Void
    ) -> Bool {
        let some = connections[index].filter { $0.value == before }.keys.sorted { $0.index < $1.index }
        guard let id = some.randomElement(using: &random) else { return false }
        connections[index][id] = after
        step(index) { event(&$0, id, $1, &$2) }
        return true
    }

    mutating func deliver() {
        if !wishes.isEmpty, orders.isEmpty || Bool.random(using: &random) {
            let wish = wishes.remove(at: Int.random(in: wishes.indices, using: &random))
            orders += ledger.wish(wish.party, wish.wish, number: wish.number)
            return
        }
        guard let position = orders.indices.randomElement(using: &random) else { return }
        switch orders.remove(at: position) {
        case .grant(let party): step(party) { $0.permitGranted(now: $1, &$2) }
        case .press(let party, let pressure, let number):
            let need = ledger.asking
            step(party) { machine, _, actions in
                _ = machine.press(pressure, number: number, need: need, &actions)
            }
        }
    }

    private mutating func advance(_ duration: Duration) {
        now += duration
        for index in machines.indices {
            while let alarm = alarms[index], alarm <= now {
                alarms[index] = nil
                step(
                    index,
                    { world in
                        for (id, connection) in world.connections[index] where connection == .abandoned {
                            if !world.machines[index].holds(id, .abandoned) { world.connections[index][id] = nil }
                        }
                    }
                ) { $0.alarmRang(now: $1, &$2) }
            }
        }
    }

    private mutating func step(
        _ index: Int,
        _ before: (inout BudgetWorld) -> Void = { _ in },
        _ event: (inout Machine, Moment, inout [Action]) -> Void
    ) {
        var actions: [Action] = []
        event(&machines[index], now, &actions)
        machines[index].balanceBudget(&actions)
        before(&self)
        for action in actions { follow(action, of: index) }
        check()
    }

    private mutating func follow(_ action: Action, of index: Int) {
        switch action {
        case .grant(let waiter, let id):
            if waiting[index].remove(waiter) == nil { violations.append("granted to nobody") }
            lease(index, id)
        case .fail(let waiter, _): waiting[index].remove(waiter)
        case .connect(let id): connections[index][id] = .connecting
        case .abandonConnect(let id, _): connections[index][id] = .abandoned
        case .close(let id, _), .drop(let id, _): connections[index][id] = .closing
        case .wake(let time): alarms[index] = min(alarms[index] ?? time, time)
        case .wishPlace(let wish, let number): wishes.append((index, wish, number))
        case .returnPlaces(let count): orders += ledger.giveBack(index, count)
        default: break
        }
    }

    private mutating func lease(_ index: Int, _ id: SlotID) {
        if connections[index][id] != .idle { violations.append("leased what is not idle") }
        connections[index][id] = .leased
    }

    private mutating func check() {
        let open = connections.reduce(0) { $0 + $1.count }
        if open > ledger.limit { violations.append("\(open) open, the limit is \(ledger.limit)") }
        if ledger.used > ledger.limit { violations.append("\(ledger.used) given out of \(ledger.limit)") }
        for index in machines.indices {
            let held = ledger.parties[index]?.held ?? 0
            let onTheWay = orders.count { $0 == .grant(index) }
            if held != machines[index].held + onTheWay {
                violations.append("pool \(index) holds \(machines[index].held) + \(onTheWay), believed \(held)")
            }
            if let credits = machines[index].budget?.credits, credits != 0 {
                violations.append("pool \(index) keeps \(credits) places")
            }
            violations += machines[index].violations.map { "pool \(index): \($0)" }
        }
    }

    // MARK: - The end

    var held: [Int] { machines.map(\.held) }
    var waiters: Int { waiting.reduce(0) { $0 + $1.count } }
    mutating func deliverAll() { while !orders.isEmpty || !wishes.isEmpty { deliver() } }

    /// What is under way ends well, everybody gives back what he has, and nobody wants more: all must be served.
    mutating func settle() {
        for _ in 0..<2000 {
            deliverAll()
            for index in machines.indices {
                for event in [Event.connected, .giveBack, .closed] { apply(event, to: index) }
            }
            if waiters == 0 { break }
            advance(.milliseconds(50))
        }
        if waiters > 0 { violations.append("\(waiters) requests wait for ever") }
    }
}

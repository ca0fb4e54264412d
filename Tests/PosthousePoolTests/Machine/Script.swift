// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// A machine and its time, played step by step. After every step the promises are checked.
struct Script {
    var machine: Machine
    var now = Moment.zero
    /// When the machine wants to be woken.
    var alarm: Moment?

    static let primary = ServiceClass(rawValue: 1)
    static let replica = ServiceClass(rawValue: 2)

    init(
        _ policy: ConnectFailurePolicy = .keepWaiting,
        maximumWaiters: Int? = nil,
        breakAfter: Duration? = nil,
        overload: OverloadControl? = nil,
        hasBudget: Bool = false,
        seed: UInt64 = 1
    ) {
        machine = Machine(
            policy: policy,
            maximumWaiters: maximumWaiters,
            breakAfter: breakAfter,
            overload: overload,
            hasBudget: hasBudget,
            seed: seed
        )
    }

    /// A machine with one member that serves everything.
    static func lone(
        maximum: Int,
        burst: Int? = nil,
        policy: ConnectFailurePolicy = .failRequester,
        concurrentConnects: Int = 10
    ) -> Script {
        var script = Script(policy)
        script.add(maximum: maximum, burst: burst, concurrentConnects: concurrentConnects)
        return script
    }

    @discardableResult
    mutating func add(
        maximum: Int,
        burst: Int? = nil,
        serves: ServiceClass = .all,
        concurrentConnects: Int = 10
    ) -> Int {
        let configuration = PoolConfiguration(
            maximumSize: maximum,
            burstLimit: burst,
            maximumConcurrentConnects: concurrentConnects,
            idleTimeout: nil,
            maximumLifetime: nil
        )
        add(configuration, serves: serves)
        return machine.members.count - 1
    }

    /// What the machine does when the member comes into service.
    @discardableResult
    mutating func add(_ configuration: PoolConfiguration, serves: ServiceClass = .all) -> [Action] {
        let member = machine.addMember(configuration)
        return step { $0.setServices(serves, for: member, now: $1, &$2) }
    }

    /// What the machine wants done, but for the alarm.
    @discardableResult
    mutating func step(
        sourceLocation: SourceLocation = #_sourceLocation,
        _ input: (inout Machine, Moment, inout [Action]) -> Void
    ) -> [Action] {
        var actions: [Action] = []
        input(&machine, now, &actions)
        #expect(machine.violations == [], sourceLocation: sourceLocation)
        return actions.filter { action in
            guard case .wake(let time) = action else { return true }
            alarm = time
            return false
        }
    }

    // MARK: Steps

    mutating func request(
        _ demand: Demand = Demand(wants: .all),
        preferring preferred: Int? = nil,
        patience: Duration = .seconds(5),
        holder: UInt = 0,
        failsFast: Bool = false,
        ticket: WaitQueue.Ticket? = nil,
        rejecting reject: Reject? = nil
    ) -> (entry: Machine.Entry, actions: [Action]) {
        var entry = Machine.Entry.exhausted
        let actions = step {
            entry = $0.enter(
                demand,
                preferring: preferred,
                holder: holder,
                deadline: $1 + patience,
                failsFast: failsFast,
                ticket: ticket,
                rejecting: reject,
                now: $1,
                &$2
            )
        }
        return (entry, actions)
    }

    /// A request that must wait.
    mutating func waiter(
        _ demand: Demand = Demand(wants: .all),
        patience: Duration = .seconds(5),
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> WaiterID {
        let entry = request(demand, patience: patience).entry
        guard case .waiting(let id) = entry else {
            throw Disappointment("the request does not wait: \(entry)", sourceLocation)
        }
        return id
    }

    mutating func take(
        _ demand: Demand = Demand(wants: .all),
        preferring preferred: Int? = nil,
        affinity: Int = 0
    ) -> (slot: SlotID?, emptyHanded: Int?) {
        var emptyHanded: Int?
        let slot = machine.takeIdle(demand, preferring: preferred, affinity: affinity, emptyHanded: &emptyHanded)
        return (slot, emptyHanded)
    }

    /// Leases connections, and opens them if none rests.
    mutating func leased(_ count: Int, _ demand: Demand = Demand(wants: .all)) throws -> [SlotID] {
        try (0..<count).map { _ in
            let (entry, actions) = request(demand)
            if case .taken(let slot) = entry { return slot }
            for connect in actions.connects {
                let granted = step { _ = $0.connected(connect, affinity: 0, now: $1, &$2) }.granted
                if let slot = granted.first { return slot }
            }
            throw Disappointment("no connection was opened", #_sourceLocation)
        }
    }

    /// Opens connections that rest.
    mutating func idle(_ count: Int, _ demand: Demand = Demand(wants: .all)) throws -> [SlotID] {
        let slots = try leased(count, demand)
        for slot in slots { release(slot) }
        return slots
    }

    @discardableResult
    mutating func release(_ slot: SlotID, _ condition: Condition = .usable) -> [Action] {
        step { $0.returned(slot, condition, &$2) }
    }

    @discardableResult
    mutating func connected(_ slot: SlotID, affinity: Int = 0) -> [Action] {
        step { _ = $0.connected(slot, affinity: affinity, now: $1, &$2) }
    }

    @discardableResult
    mutating func connectFailed(_ slot: SlotID) -> [Action] {
        step { $0.connectFailed(slot, now: $1, &$2) }
    }

    @discardableResult
    mutating func closed(_ slot: SlotID) -> [Action] {
        step { $0.closed(slot, now: $1, &$2) }
    }

    /// The shell has done what it was told about, and something it waits for: a round of the housekeeper knows of the lease.
    mutating func use(_ slot: SlotID) { machine.tables[slot.member][slot.index].uses += 1 }

    @discardableResult
    mutating func tended(_ slot: SlotID, isFit: Bool = true) -> [Action] {
        step { $0.tended(slot, isFit ? .usable : .unfit, now: $1, &$2) }
    }

    /// What the shell does when it is told to tend.
    @discardableResult
    mutating func begin(tending slot: SlotID) -> [Action] {
        step { $0.tendingBegan(slot, now: $1, &$2) }
    }

    @discardableResult
    mutating func cancel(_ waiter: WaiterID) -> [Action] {
        step { $0.waiterCancelled(waiter, &$2) }
    }

    enum Claim { case taken, refused }

    mutating func claim(_ slot: SlotID) -> Claim {
        machine.claim(slot) ? .taken : .refused
    }

    /// Time passes; the alarm rings at the end if it was due.
    @discardableResult
    mutating func advance(_ duration: Duration) -> [Action] {
        now += duration
        guard let due = alarm, due <= now else { return [] }
        alarm = nil
        return step { $0.alarmRang(now: $1, &$2) }
    }

    /// Time passes; the alarm rings each time that it is due. Tells what was done when.
    @discardableResult
    mutating func elapse(
        _ duration: Duration,
        _ follow: (inout Script, Action) -> Void = { _, _ in }
    ) -> [(at: Moment, action: Action)] {
        let end = now + duration
        var done: [(at: Moment, action: Action)] = []
        var rings = 0
        while let due = alarm, due <= end {
            rings += 1
            if rings > 100_000 { break }
            let actions = advance(max(.zero, due - now))
            done += actions.map { (now, $0) }
            for action in actions { follow(&self, action) }
        }
        #expect(rings <= 100_000, "the alarm rings without end")
        now = end
        return done
    }

    func waiting() -> Int { machine.queue.count }
    var member: Member { machine.members[0] }
}

struct Disappointment: Error, CustomStringConvertible {
    let description: String

    init(_ what: String, _ location: SourceLocation) {
        description = "\(what) (\(location))"
    }
}

extension [Action] {
    var connects: [SlotID] { compactMap { if case .connect(let slot) = $0 { slot } else { nil } } }
    var granted: [SlotID] { compactMap { if case .grant(_, let slot) = $0 { slot } else { nil } } }
    var served: [WaiterID] { compactMap { if case .grant(let waiter, _) = $0 { waiter } else { nil } } }
    var refused: [WaiterID] { compactMap { if case .fail(let waiter, _) = $0 { waiter } else { nil } } }
    var tended: [SlotID] { compactMap { if case .tend(let slot, _) = $0 { slot } else { nil } } }
    var closes: [SlotID] { compactMap { if case .close(let slot, _) = $0 { slot } else { nil } } }
}

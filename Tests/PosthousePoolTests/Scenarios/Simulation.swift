// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// A machine, a server and callers in virtual time: connects and work take as long as they are said to.
struct Simulation {
    private enum Event { case connected(SlotID), failed(SlotID), done(SlotID), closed(SlotID) }

    var script: Script
    private var agenda: [(at: Moment, number: Int, event: Event)] = []
    private var number = 0
    private var callers: [WaiterID: (caller: Int, since: Moment)] = [:]
    private var workers: [SlotID: Int] = [:]
    /// How long a connect takes.
    let connecting: Duration
    /// How long a caller keeps its connection.
    let working: Duration
    var serverIsUp = true
    /// Who asked, and who was served, in that order.
    private(set) var asked: [Int] = []
    private(set) var served: [Int] = []
    private(set) var waits: [Duration] = []
    private(set) var begins: [Moment] = []
    private(set) var mostSockets = 0
    private(set) var mostConnecting = 0
    var firstServedAt: Moment?
    /// How often each caller asks again after it was served.
    private var rounds: [Int: Int] = [:]

    init(_ script: Script, connecting: Duration, working: Duration) {
        self.script = script
        self.connecting = connecting
        self.working = working
    }

    var now: Moment { script.now }
    var leased: Int { workers.count }

    mutating func follow(_ actions: [Action]) {
        for action in actions {
            switch action {
            case .connect(let id):
                begins.append(now)
                plan(serverIsUp ? .connected(id) : .failed(id), after: connecting)
            case .grant(let waiter, let id):
                guard let (caller, since) = callers.removeValue(forKey: waiter) else { continue }
                waits.append(now - since)
                begin(caller, id)
            case .fail(let waiter, _): callers[waiter] = nil
            case .close(let id, _), .drop(let id, _): plan(.closed(id), after: .zero)
            default: break
            }
        }
        mostSockets = max(mostSockets, script.machine.members.map(\.sockets).reduce(0, +))
        mostConnecting = max(mostConnecting, script.machine.members.map(\.connecting).reduce(0, +))
    }

    /// A caller asks, now and each time that it has been served, so many times in all.
    mutating func ask(_ caller: Int, times: Int = 1, patience: Duration = .seconds(100_000)) {
        rounds[caller] = times
        asks(caller, patience)
    }

    private mutating func asks(_ caller: Int, _ patience: Duration = .seconds(100_000)) {
        rounds[caller, default: 1] -= 1
        asked.append(caller)
        let (entry, actions) = script.request(patience: patience)
        switch entry {
        case .taken(let id):
            waits.append(.zero)
            begin(caller, id)
        case .waiting(let id): callers[id] = (caller, now)
        case .exhausted, .unavailable, .removed: break
        }
        follow(actions)
    }

    private mutating func begin(_ caller: Int, _ id: SlotID) {
        if firstServedAt == nil { firstServedAt = now }
        served.append(caller)
        workers[id] = caller
        plan(.done(id), after: working)
    }

    /// Until nothing is left to do, or the time has come.
    mutating func run(until end: Moment = .seconds(1_000_000)) {
        while true {
            let next = agenda.min { ($0.at, $0.number) < ($1.at, $1.number) }
            if let alarm = script.alarm, alarm <= end, alarm <= next?.at ?? end, !callers.isEmpty || next != nil {
                follow(script.advance(max(.zero, alarm - now)))
                continue
            }
            guard let next, next.at <= end else { break }
            agenda.removeAll { $0.number == next.number }
            follow(script.advance(next.at - now))
            happen(next.event)
        }
        if end < .seconds(1_000_000), now < end { follow(script.advance(end - now)) }
    }

    private mutating func happen(_ event: Event) {
        switch event {
        case .connected(let id): follow(script.connected(id))
        case .failed(let id): follow(script.connectFailed(id))
        case .closed(let id): follow(script.closed(id))
        case .done(let id):
            let caller = workers.removeValue(forKey: id)
            follow(script.release(id))
            if let caller, rounds[caller, default: 0] > 0 { asks(caller) }
        }
    }

    private mutating func plan(_ event: Event, after duration: Duration) {
        number += 1
        agenda.append((now + duration, number, event))
    }
}

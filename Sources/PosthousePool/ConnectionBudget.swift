// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// How many connections several pools may have open together: all hosts and shards of a process under one limit.
///
/// It comes on top of the pools' own limits. Connections that are being opened or closed count. A pool that needs a connection
/// while all places are taken gets one from a pool where a connection is idle, which is closed; and from a pool that is busy
/// with its own requests as long as that holds at least two more, so that busy pools come to hold about as many each.
///
/// Pools only ever wait for one place at a time, and hold none while they do. A *task* that holds a connection of one pool
/// and waits for one of another may still wait for itself, if all places are held by tasks like it: it ends at its deadline.
public final class ConnectionBudget: Sendable {
    /// The limit.
    public let limit: Int

    private struct State {
        var ledger: BudgetLedger
        /// Those that hold or want something. Their connections keep them that long, too.
        var cores: [Int: PoolCore] = [:]
        /// What has not been told yet, in the order in which it was decided.
        var orders: [BudgetLedger.Order] = []
        /// Somebody tells them.
        var isTelling = false
        var nextParty = 0
    }

    private let state: Guarded<State>

    /// A budget for the pools whose ``PoolGroupConfiguration/budget`` it is.
    ///
    /// - Throws: ``PoolError/Code/invalidConfiguration`` for a limit below 1.
    public init(limit: Int) throws(PoolError) {
        if limit < 1 { throw .invalid("the budget's limit is \(limit); it must be at least 1") }
        self.limit = limit
        state = Guarded(State(ledger: BudgetLedger(limit: limit)))
    }

    /// How many connections the pools have open, being opened and closed ones included.
    public var used: Int { state.withLock { $0.ledger.used } }

    /// How many pools wait for a place.
    public var waitingPools: Int { state.withLock { $0.ledger.asking } }

    func enter() -> Int {
        state.withLock { state in
            state.nextParty += 1
            return state.nextParty
        }
    }

    func wish(_ wish: PlaceWish, number: UInt64, of core: PoolCore) {
        tell(core) { ledger, party in ledger.wish(party, wish, number: number) }
    }

    func giveBack(_ count: Int, _ core: PoolCore) {
        tell(core) { ledger, party in ledger.giveBack(party, count) }
    }

    func leave(_ party: Int) {
        state.withLock { state in
            state.orders += state.ledger.forget(party)
        }
        deliver()
    }
}

extension ConnectionBudget {
    private func tell(_ core: PoolCore, _ event: (inout BudgetLedger, _ party: Int) -> [BudgetLedger.Order]) {
        guard let party = core.party else { return }
        state.withLock { state in
            state.orders += event(&state.ledger, party)
            state.cores[party] = core
        }
        deliver()
    }

    /// Tells the pools what follows, outside the lock: a pool that is told something may tell the budget something in turn.
    /// That comes behind what is there, and whoever is telling goes on with it; so they are told in the order in which it was
    /// decided, by one thread at a time.
    private func deliver() {
        while true {
            let next: Next = state.withLock { state in
                // The one who tells, further up this stack or on another thread, sees to the rest.
                if state.isTelling { return .nothing }
                guard !state.orders.isEmpty else {
                    let cores = state.cores
                    state.cores = cores.filter { state.ledger.parties[$0.key]?.isInvolved ?? false }
                    return .released(cores)
                }
                state.isTelling = true
                let order = state.orders.removeFirst()
                return .order(order, state.cores[order.party], need: state.ledger.asking)
            }
            switch next {
            case .order(.grant, let core, _): core?.permitGranted()
            case .order(.press(_, let pressure, let number), let core, let need):
                core?.press(pressure, number: number, need: need)
            case .nothing, .released: return
            }
            state.withLock { $0.isTelling = false }
        }
    }

    private enum Next {
        case order(BudgetLedger.Order, PoolCore?, need: Int)
        /// To be let go of outside the lock: a core that ends there tells the budget.
        case released([Int: PoolCore])
        case nothing
    }
}

extension BudgetLedger.Order {
    fileprivate var party: Int {
        switch self {
        case .grant(let party), .press(let party, _, _): party
        }
    }
}

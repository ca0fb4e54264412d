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
        var cores: [Int: PoolCore] = [:]
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

    // The core is known from its first request until it holds nothing and asks for nothing. Its connections keep it that
    // long, too.

    func ask(_ core: PoolCore) {
        tell(of: core) { ledger, party in ledger.ask(party) }
    }

    func withdraw(_ core: PoolCore) {
        tell(of: core) { ledger, party in ledger.withdraw(party) }
    }

    func giveBack(_ count: Int, _ core: PoolCore) {
        tell(of: core) { ledger, party in ledger.giveBack(party, count) }
    }
}

extension ConnectionBudget {
    /// The ledger is told under the lock, and the pools what follows outside it: a pool that is told something may tell the
    /// budget something in turn.
    private func tell(
        of core: PoolCore,
        _ event: (inout BudgetLedger, _ party: Int) -> [BudgetLedger.Order]
    ) {
        let party = core.partyNumber
        let (orders, cores, asking) = state.withLock { state in
            state.cores[party] = core
            let orders = event(&state.ledger, party)
            let cores = state.cores
            state.cores = cores.filter { state.ledger.parties[$0.key] != nil }
            return (orders, cores, state.ledger.asking)
        }
        var need = asking
        for order in orders {
            switch order {
            case .grant(let party): cores[party]?.permitGranted()
            case .press(let party, let pressure, let number):
                need -= cores[party]?.press(pressure, number: number, need: need) ?? 0
            }
        }
    }
}

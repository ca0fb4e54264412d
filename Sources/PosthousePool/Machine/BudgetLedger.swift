// SPDX-License-Identifier: Apache-2.0

/// Who holds how many of the connections that several pools may have open together, and who asks for one more. A value: what
/// happened goes in, what is to be told to whom comes out.
///
/// - A free place goes to the pool that asks and holds the fewest; among equals, to the one that asked first.
/// - While nothing is free, every other pool is pressed: it closes idle connections at once, and what comes back where nobody
///   waits. Where requests wait it gives up what comes back as long as it holds at least two more than the one that asks, so
///   that places go over until both hold about as many, and never to and fro.
/// - A pool asks for one place at a time, holds what it was granted only to open a connection with it at once, and gives it
///   back otherwise: nobody keeps one place while waiting for another.
struct BudgetLedger {
    struct Party {
        var held = 0
        /// When it asked, if it waits for an answer: the number of that request.
        var request: UInt64?
        var pressure: Int?
    }

    enum Order: Equatable {
        /// It has one place more.
        case grant(Int)
        /// Others ask (nil: no more): see `BudgetShare.pressure`. Of orders to the same party only the latest number counts.
        case press(Int, Int?, number: UInt64)
    }

    let limit: Int
    private(set) var parties: [Int: Party] = [:]
    private var nextNumber: UInt64 = 0

    init(limit: Int) { self.limit = limit }

    var used: Int { parties.values.reduce(0) { $0 + $1.held } }
    /// How many ask and have not got anything.
    var asking: Int { parties.values.count { $0.request != nil } }

    mutating func ask(_ party: Int) -> [Order] {
        guard parties[party]?.request == nil else { return [] }
        parties[party, default: Party()].request = number()
        return decide()
    }

    mutating func withdraw(_ party: Int) -> [Order] {
        parties[party]?.request = nil
        return decide()
    }

    mutating func giveBack(_ party: Int, _ count: Int) -> [Order] {
        parties[party]?.held -= count
        return decide()
    }

    private mutating func decide() -> [Order] {
        var orders: [Order] = []
        while used < limit, let next = neediest() {
            parties[next]?.request = nil
            parties[next]?.held += 1
            orders.append(.grant(next))
        }
        let asking = parties.filter { $0.value.request != nil }
        // Those that hold the most first.
        for party in parties.keys.sorted(by: { (parties[$0]!.held, $0) > (parties[$1]!.held, $1) }) {
            let pressure = asking.filter { $0.key != party }.map { $0.value.held + 1 }.min()
            // Who was pressed before is told again: there may be more who ask.
            guard pressure != nil || parties[party]!.pressure != nil else { continue }
            parties[party]?.pressure = pressure
            orders.append(.press(party, pressure, number: number()))
        }
        parties = parties.filter { $0.value.held > 0 || $0.value.request != nil || $0.value.pressure != nil }
        return orders
    }

    private func neediest() -> Int? {
        parties.filter { $0.value.request != nil }
            .min { ($0.value.held, $0.value.request!) < ($1.value.held, $1.value.request!) }?.key
    }

    private mutating func number() -> UInt64 {
        nextNumber += 1
        return nextNumber
    }
}

/// A pool's part in a budget.
struct BudgetShare {
    /// Places that it may open connections with.
    var credits = 0
    /// It has asked for one more, and has no answer. nil: there was an answer, and perhaps not to the last time it asked.
    var isAsking: Bool? = false
    /// Others ask. Connections that rest are closed, and those that come back while so many or fewer are held stay only where
    /// requests wait; those above that number are closed even then.
    var pressure: Int?
    /// The number of the latest word on that.
    var pressureNumber: UInt64 = 0
}

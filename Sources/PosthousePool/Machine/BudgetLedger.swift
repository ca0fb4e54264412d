// SPDX-License-Identifier: Apache-2.0

/// Who holds how many of the connections that several pools may have open together, and who asks for one more. A value: what
/// happened goes in, what is to be told to whom comes out.
///
/// - A free place goes to the pool that asks for a request that waits and holds the fewest; among equals, to the one that
///   asked first. Those that ask only to have some in store come last.
/// - While nothing is free and requests wait, every other pool is pressed: it closes idle connections at once, and what comes
///   back where nobody waits. Where requests wait it gives up what comes back as long as it holds at least two more than the
///   one that asks, so that places go over until both hold about as many, and never to and fro. Whoever asks only to have
///   some in store presses nobody.
/// - A pool asks for one place at a time, holds what it was granted only to open a connection with it at once, and gives it
///   back otherwise: nobody keeps one place while waiting for another.
struct BudgetLedger {
    struct Party {
        var held = 0
        var wish = PlaceWish.none
        /// When that was: wishes of several pools in the order in which they came.
        var since: UInt64 = 0
        /// The number of the latest wish that was heard of: an earlier one that comes later is out of date.
        var wishNumber: UInt64 = 0
        var pressure: Int?

        /// Whether there is more to remember of it than a number.
        var isInvolved: Bool { held > 0 || wish != .none || pressure != nil }
    }

    enum Order: Equatable {
        /// It has one place more.
        case grant(Int)
        /// Others ask (nil: no more): see `BudgetShare.pressure`. Of orders to the same party only the latest number counts.
        case press(Int, Int?, number: UInt64)
    }

    let limit: Int
    private(set) var parties: [Int: Party] = [:]
    private(set) var used = 0
    private var nextNumber: UInt64 = 0

    init(limit: Int) { self.limit = limit }

    /// How many pools have requests that wait for a place.
    var asking: Int { parties.values.count { $0.wish == .urgent } }

    /// - Parameter number: Counts the party's wishes.
    mutating func wish(_ party: Int, _ wish: PlaceWish, number: UInt64) -> [Order] {
        guard number > parties[party]?.wishNumber ?? 0 else { return [] }
        parties[party, default: Party()].wishNumber = number
        guard parties[party]!.wish != wish else { return [] }
        parties[party]!.wish = wish
        parties[party]!.since = self.number()
        return decide()
    }

    mutating func giveBack(_ party: Int, _ count: Int) -> [Order] {
        parties[party]?.held -= count
        used -= count
        return decide()
    }

    /// It holds nothing, and will not come again.
    mutating func forget(_ party: Int) -> [Order] {
        guard let gone = parties.removeValue(forKey: party) else { return [] }
        used -= gone.held
        return decide()
    }

    private mutating func decide() -> [Order] {
        var grants: [Order] = []
        while used < limit, let next = neediest() {
            parties[next]!.wish = .none
            parties[next]!.held += 1
            used += 1
            grants.append(.grant(next))
        }
        // First, so that whoever is granted a place is not under a pressure that is over.
        return presses() + grants
    }

    private mutating func presses() -> [Order] {
        let asking = parties.filter { $0.value.wish == .urgent }
        var orders: [Order] = []
        // Those that hold the most first.
        for party in parties.keys.sorted(by: { (parties[$0]!.held, $0) > (parties[$1]!.held, $1) }) {
            let pressure = asking.filter { $0.key != party }.map { $0.value.held + 1 }.min()
            // Who was pressed before is told again: there may be more who ask.
            guard pressure != nil || parties[party]!.pressure != nil else { continue }
            parties[party]!.pressure = pressure
            orders.append(.press(party, pressure, number: number()))
        }
        return orders
    }

    private func neediest() -> Int? {
        parties.filter { $0.value.wish != .none }.min { isBefore($0.value, $1.value) }?.key
    }

    private func isBefore(_ one: Party, _ other: Party) -> Bool {
        if one.wish != other.wish { return one.wish == .urgent }
        return (one.held, one.since) < (other.held, other.since)
    }

    private mutating func number() -> UInt64 {
        nextNumber += 1
        return nextNumber
    }
}

/// What a pool wants a place for.
enum PlaceWish: Equatable {
    case none
    /// To have a connection in store.
    case upkeep
    /// For a request that waits, or to find out whether a member works again.
    case urgent
}

/// A pool's part in a budget.
struct BudgetShare {
    /// Places that it may open connections with.
    var credits = 0
    /// What it has asked for, and has no answer. nil: there was an answer, and perhaps not to the last time it asked.
    var wish: PlaceWish? = PlaceWish.none
    /// How often it has said what it wishes.
    var wishNumber: UInt64 = 0
    /// Others ask. Connections that rest are closed, and those that come back while so many or fewer are held stay only where
    /// requests wait; those above that number are closed even then.
    var pressure: Int?
    /// The number of the latest word on that.
    var pressureNumber: UInt64 = 0
}

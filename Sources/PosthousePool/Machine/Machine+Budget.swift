// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

extension Machine {
    /// How many places of the budget this pool has.
    var held: Int { members.reduce(budget?.credits ?? 0) { $0 + $1.sockets } }

    func mayConnect(_ member: Int) -> Bool {
        members[member].canOpen && (budget.map { $0.credits > 0 } ?? true)
    }

    /// Whether a connection may be opened there that nobody waits for: not while others wait for a place.
    func mayConnectAhead(_ member: Int) -> Bool {
        mayConnect(member) && budget?.pressure == nil
    }

    mutating func permitGranted(now: Moment, _ actions: inout [Action]) {
        budget?.wish = nil
        budget?.credits += 1
        plan(now: now, &actions)
    }

    /// Others ask for places, or (nil) no more.
    ///
    /// - Parameter need: How many places are asked for.
    /// - Returns: How many of them are being freed at once.
    mutating func press(_ pressure: Int?, number: UInt64, need: Int, _ actions: inout [Action]) -> Int {
        guard let share = budget, share.pressureNumber < number else { return 0 }
        budget?.pressure = pressure
        budget?.pressureNumber = number
        guard pressure != nil else { return 0 }
        var freed = 0
        while freed < need, let member = members.indices.max(by: { members[$0].idle < members[$1].idle }),
            let index = tables[member].lastIdle
        {
            retire(slotID(member, index), .budget, &actions)
            freed += 1
        }
        return freed
    }

    /// Whether a healthy connection that nobody has makes room for another pool.
    func givesUp(hasWaiter: Bool) -> Bool {
        guard let pressure = budget?.pressure else { return false }
        return !hasWaiter || held > pressure
    }

    /// Places that were freed go first to those that hold fewer.
    mutating func yieldCredits(_ actions: inout [Action]) {
        guard let share = budget, share.credits > 0, let pressure = share.pressure, held > pressure else { return }
        returnCredits(&actions)
    }

    /// After each step: no place is kept that no connection is opened with, and whoever could open one asks for it.
    mutating func balanceBudget(_ actions: inout [Action]) {
        guard let share = budget else { return }
        if share.credits > 0 { returnCredits(&actions) }
        let wish = placeWish
        guard wish != share.wish else { return }
        budget?.wish = wish
        budget?.wishNumber += 1
        actions.append(.wishPlace(wish, number: share.wishNumber + 1))
    }

    private mutating func returnCredits(_ actions: inout [Action]) {
        guard let credits = budget?.credits else { return }
        budget?.credits = 0
        actions.append(.returnPlaces(credits))
    }

    private var placeWish: PlaceWish {
        if isClosing { return .none }
        var wish = PlaceWish.none
        for member in members.indices where members[member].canOpen && !members[member].services.isEmpty {
            let waits = queue.lines.indices.contains { line in
                serves(member, queue.lines[line].demand) && queue.hasUncovered(line)
            }
            if waits || needsTry(member) { return .urgent }
            if members[member].upkeepAt == nil, members[member].isBelowMinimum { wish = .upkeep }
        }
        return wish
    }
}

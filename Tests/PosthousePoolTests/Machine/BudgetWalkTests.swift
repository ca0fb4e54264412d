// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Pools that share a budget: random sequences of everything, with the budget's orders arriving late and in any order.
///
/// `POSTHOUSE_TEST_SEED=n` replays one walk; `POSTHOUSE_TEST_SEEDS=n` walks n times (default 100).
@Suite(.apart, .timeLimit(.minutes(60)))
struct BudgetWalkTests {
    @Test func noPlaceIsLostOrTakenTwiceAndEverybodyIsServed() {
        for seed in Seeds.fromEnvironment(default: 100) {
            var world = BudgetWorld(seed: seed)
            for _ in 0..<250 where world.violations.isEmpty { world.move() }
            if world.violations.isEmpty { world.settle() }
            if let violation = world.violations.first {
                Issue.record("POSTHOUSE_TEST_SEED=\(seed): \(violation)")
                return
            }
        }
    }

    @Test func busyPoolsComeToHoldAboutAsMany() {
        var world = BudgetWorld(seed: 3, limit: 6, pools: 2, minimumSize: 0)
        func turn(_ world: inout BudgetWorld, _ pools: [Int]) {
            for pool in pools {
                world.apply(.request, to: pool)
                world.deliverAll()
                for event in [BudgetWorld.Event.connected, .giveBack, .closed] { world.apply(event, to: pool) }
                world.deliverAll()
            }
        }
        for _ in 0..<40 { for _ in 0..<2 { world.apply(.request, to: 0) }; turn(&world, [0]) }
        let alone = world.held[0]
        #expect(alone == world.machines[0].members[0].hardLimit)
        for _ in 0..<40 {
            for pool in 0...1 { for _ in 0..<3 { world.apply(.request, to: pool) } }
            turn(&world, [0, 1])
        }
        #expect(world.violations == [])
        #expect(world.held.reduce(0, +) <= 6)
        let ceilings = world.machines.map { $0.members[0].hardLimit }
        #expect(abs(world.held[0] - world.held[1]) <= 1 || world.held == ceilings, "\(world.held) of \(ceilings)")
    }
}

/// The ledger by itself.
struct BudgetLedgerTests {
    @Test func aFreePlaceGoesToWhoeverHoldsTheFewest() {
        var ledger = BudgetLedger(limit: 3)
        #expect(ledger.wish(1, .urgent, number: 1) == [.grant(1)])
        #expect(ledger.wish(1, .urgent, number: 2) == [.grant(1)])
        #expect(ledger.wish(2, .urgent, number: 1) == [.grant(2)])
        // Full: both ask, and each is pressed for the other.
        #expect(ledger.wish(2, .urgent, number: 2) == [.press(1, 2, number: 5)])
        #expect(ledger.wish(1, .urgent, number: 3) == [.press(1, 2, number: 7), .press(2, 3, number: 8)])
        #expect(ledger.giveBack(1, 1).last == .grant(2))
        #expect(ledger.parties[2]?.held == 2)
        #expect(ledger.used == 3)
    }

    @Test func nobodyIsPressedOnceNobodyAsks() {
        var ledger = BudgetLedger(limit: 1)
        _ = ledger.wish(1, .urgent, number: 1)
        #expect(ledger.wish(2, .urgent, number: 1) == [.press(1, 1, number: 3)])
        #expect(ledger.wish(2, .none, number: 2) == [.press(1, nil, number: 5)])
        #expect(ledger.asking == 0)
    }

    @Test func whoeverWantsSomeInStorePressesNobodyAndComesLast() {
        var ledger = BudgetLedger(limit: 1)
        _ = ledger.wish(1, .urgent, number: 1)
        #expect(ledger.wish(2, .upkeep, number: 1) == [])
        #expect(ledger.wish(3, .urgent, number: 1).contains(.press(1, 1, number: 4)))
        #expect(ledger.giveBack(1, 1).last == .grant(3))
        #expect(ledger.giveBack(3, 1) == [.grant(2)])
    }

    @Test func aWishThatWasOvertakenByALaterOneIsOutOfDate() {
        var ledger = BudgetLedger(limit: 1)
        _ = ledger.wish(1, .urgent, number: 1)
        _ = ledger.wish(2, .urgent, number: 3)
        #expect(ledger.wish(2, .none, number: 2) == [])
        #expect(ledger.asking == 1)
        _ = ledger.wish(2, .none, number: 5)
        #expect(ledger.wish(2, .urgent, number: 4) == [])
        #expect(ledger.asking == 0)
    }

    @Test func whoeverIsForgottenHoldsNothing() {
        var ledger = BudgetLedger(limit: 1)
        _ = ledger.wish(1, .urgent, number: 1)
        _ = ledger.wish(2, .urgent, number: 1)
        #expect(ledger.forget(1).last == .grant(2))
        #expect(!ledger.parties.keys.contains(1))
    }
}

// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// Minimums, rates, idle time, lifetime, uses.
@Suite struct LifeTests {
    private func configuration(
        _ maximum: Int,
        _ change: (inout PoolConfiguration) -> Void = { _ in }
    ) -> PoolConfiguration {
        var configuration = PoolConfiguration(
            maximumSize: maximum,
            maximumConcurrentConnects: maximum,
            idleTimeout: nil,
            maximumLifetime: nil
        )
        change(&configuration)
        return configuration
    }

    // MARK: Minimums

    @Test func theMinimumIsOpenedWithoutBeingAskedFor() {
        var pool = Script()
        let connects = pool.add(configuration(5) { $0.minimumSize = 3 }).connects
        #expect(connects.map(\.index) == [0, 1, 2])
        for connect in connects { #expect(pool.connected(connect) == []) }
        #expect(pool.member.idle == 3)
    }

    @Test func aMemberOutOfServiceKeepsNoMinimum() {
        var pool = Script()
        #expect(pool.add(configuration(5) { $0.minimumSize = 3 }, serves: []) == [])
        #expect(pool.step { $0.setServices(.all, for: 0, now: $1, &$2) }.connects.count == 3)
    }

    @Test func aConnectionOfTheMinimumThatDiesIsReplaced() throws {
        var pool = Script()
        for connect in pool.add(configuration(5) { $0.minimumSize = 2 }).connects { pool.connected(connect) }
        let slot = try pool.leased(1)[0]
        #expect(pool.release(slot, .closed) == [.close(slot, .reportedClosed)])
        #expect(pool.closed(slot).connects.count == 1)
    }

    @Test func whatIsLeasedCountsForTheMinimumSizeButNotForTheIdleOne() throws {
        var pool = Script()
        for connect in pool.add(configuration(4) { $0.minimumSize = 2 }).connects { pool.connected(connect) }
        #expect(pool.take().emptyHanded == nil)
        #expect(pool.take().emptyHanded == nil)
        #expect(pool.member.connecting == 0)

        pool = Script()
        for connect in pool.add(configuration(4) { $0.minimumIdle = 2 }).connects { pool.connected(connect) }
        #expect(pool.member.idle == 2)
        #expect(pool.take().emptyHanded == 0, "fewer are idle than there should be")
        let ahead = pool.step { $0.openAhead(0, now: $1, &$2) }
        #expect(ahead.connects.count == 1)
        pool.connected(ahead.connects[0])
        #expect(pool.member.idle == 2)
    }

    @Test func theIdleMinimumDoesNotGoBeyondTheMaximumSize() throws {
        var pool = Script()
        for connect in pool.add(configuration(3) { $0.minimumIdle = 2 }).connects { pool.connected(connect) }
        _ = try pool.leased(2)
        #expect(pool.member.sockets == 3)
        #expect(pool.step { $0.openAhead(0, now: $1, &$2) } == [])
    }

    @Test(arguments: [ConnectFailurePolicy.keepWaiting, .failRequester])
    func aMinimumThatCannotBeOpenedIsTriedAgainAfterAGrowingWhile(policy: ConnectFailurePolicy) throws {
        var pool = Script(policy)
        var connects = pool.add(configuration(5) { $0.minimumSize = 1 }).connects
        for round in 0..<6 {
            #expect(connects.count == 1)
            #expect(pool.connectFailed(connects[0]).connects == [])
            let longest = Duration.milliseconds(100) * (1 << round)
            #expect(pool.advance(longest / 2 - .milliseconds(1)).connects == [])
            connects = pool.advance(longest / 2 + .milliseconds(1)).connects
        }
        #expect(pool.connected(connects[0]) == [])
        #expect(pool.member.idle == 1)
    }

    @Test func openingAheadRespectsThePauseAfterAFailure() throws {
        var pool = Script(.failRequester)
        pool.add(configuration(1))
        pool.add(configuration(5))
        pool.step { $0.setServices([], for: 1, now: $1, &$2) }
        let slot = try pool.idle(1)[0]
        pool.step { $0.setServices(.all, for: 1, now: $1, &$2) }
        let (taken, emptyHanded) = pool.take()
        #expect(taken == slot)
        #expect(emptyHanded == 1)
        let ahead = pool.step { $0.openAhead(1, now: $1, &$2) }.connects
        #expect(ahead.count == 1)
        pool.connectFailed(ahead[0])
        pool.release(slot)
        #expect(pool.step { $0.openAhead(1, now: $1, &$2) } == [], "each idle hit would connect to the dead host")
        pool.advance(.milliseconds(100))
        #expect(pool.step { $0.openAhead(1, now: $1, &$2) }.connects.count == 1)
    }

    // MARK: Rate

    @Test(arguments: [1, 3, 7])
    func noMoreConnectsBeginWithinAnySecondThanTheRateAllows(rate: Int) throws {
        var pool = Script(.failRequester)
        var begins: [Moment] = []
        var random = SplitMix64(seed: UInt64(rate))
        pool.add(configuration(60) { $0.maximumConnectRate = rate })
        var open: [SlotID] = []
        var failed = 0
        for _ in 0..<60 { open += pool.request(patience: .seconds(600)).actions.connects }
        begins += open.map { _ in pool.now }
        while pool.waiting() > 0, pool.now < .seconds(300) {
            for connect in open {
                open.removeFirst()
                let fails = failed < 20 && Bool.random(using: &random)
                if fails { failed += 1 }
                let next = fails ? pool.connectFailed(connect).connects : pool.connected(connect).connects
                begins += next.map { _ in pool.now }
                open += next
            }
            let next = pool.advance(.milliseconds(Int.random(in: 1...400, using: &random))).connects
            begins += next.map { _ in pool.now }
            open += next
        }
        #expect(pool.waiting() == 0, "all are served or refused in the end")
        #expect(begins.count == 60)
        for end in begins {
            let recent = begins.count { $0 > end - .seconds(1) && $0 <= end }
            #expect(recent <= rate)
        }
        #expect(pool.now <= .seconds(60 / rate + 10), "and the rate is used")
    }

    @Test func theRateHoldsForTheMinimumAsForRequests() {
        var pool = Script()
        var connects = pool.add(
            configuration(10) {
                $0.minimumSize = 6
                $0.maximumConnectRate = 2
            }
        ).connects
        #expect(connects.count == 2)
        for _ in 0..<2 {
            for connect in connects { pool.connected(connect) }
            #expect(pool.advance(.milliseconds(999)).connects == [])
            connects = pool.advance(.milliseconds(1)).connects
            #expect(connects.count == 2)
        }
    }

    // MARK: Idle time

    @Test func whatRestsForTooLongIsClosedHighSlotsFirstAndTheMinimumsStay() throws {
        var pool = Script()
        let opened = pool.add(
            configuration(6) {
                $0.minimumSize = 2
                $0.idleTimeout = .seconds(40)
            }
        ).connects
        for connect in opened { pool.connected(connect) }
        let slots = try pool.idle(6)
        let closes = pool.elapse(.seconds(60)).map(\.action).closes
        #expect(closes == Array(slots[2...].reversed()))
        for slot in closes { #expect(pool.closed(slot) == []) }
        #expect(pool.elapse(.seconds(600)).map(\.action).closes == [])
        #expect(pool.member.live == 2)
    }

    @Test func theIdleMinimumStaysToo() throws {
        var pool = Script()
        for connect in pool.add(configuration(5) { $0.minimumSize = 5 }).connects { pool.connected(connect) }
        let rules = configuration(5) {
            $0.minimumIdle = 3
            $0.idleTimeout = .seconds(40)
        }
        pool.step { $0.reconfigure(0, rules, now: $1, &$2) }
        let closes = pool.elapse(.seconds(60)).map(\.action).closes
        #expect(closes.map(\.index) == [4, 3])
    }

    @Test func aConnectionIsNotClosedBeforeItHasRestedForSoLongNorMuchLater() throws {
        var pool = Script()
        pool.add(configuration(1) { $0.idleTimeout = .seconds(40) })
        let slot = try pool.idle(1)[0]
        // It is used at this moment, between two rounds of the housekeeper.
        pool.elapse(.seconds(13))
        pool.use(slot)
        let used = pool.now
        let closed = pool.elapse(.seconds(100)).first { !$0.action.isWake }
        let rested = try #require(closed).at - used
        #expect(closed?.action == .close(slot, .idleTimedOut))
        #expect(rested >= .seconds(40) && rested <= .seconds(50))
    }

    @Test func aConnectionThatIsUsedNowAndThenIsKept() throws {
        var pool = Script()
        pool.add(configuration(2) { $0.idleTimeout = .seconds(40) })
        let slots = try pool.idle(2)
        var closes: [SlotID] = []
        for _ in 0..<20 {
            closes += pool.elapse(.seconds(30)).map(\.action).closes
            pool.use(slots[0])
        }
        #expect(closes == [slots[1]])
    }

    @Test func aLeaseIsNoRest() throws {
        var pool = Script()
        pool.add(configuration(1) { $0.idleTimeout = .seconds(40) })
        let slot = try pool.leased(1)[0]
        #expect(pool.elapse(.seconds(200)).map(\.action).closes == [])
        pool.use(slot)
        pool.release(slot)
        #expect(pool.elapse(.seconds(39)).map(\.action).closes == [])
        #expect(pool.elapse(.seconds(11)).map(\.action).closes == [slot])
    }

    @Test func theHousekeeperSleepsWhileNothingIsOpen() throws {
        var pool = Script()
        pool.add(configuration(1) { $0.idleTimeout = .seconds(40) })
        #expect(pool.alarm == nil)
        let slot = try pool.idle(1)[0]
        pool.elapse(.seconds(60))
        pool.closed(slot)
        pool.elapse(.seconds(60))
        #expect(pool.machine.nextTime == nil)
    }

    // MARK: Lifetime

    @Test func aThousandConnectionsBornTogetherEndEvenlyOverTheJittersWindow() throws {
        var machine = Machine(policy: .keepWaiting, seed: 7)
        let member = machine.addMember(
            configuration(1000) {
                $0.minimumSize = 1000
                $0.maximumLifetime = .seconds(1000)
                $0.lifetimeJitter = 0.5
            }
        )
        var actions: [Action] = []
        machine.setServices(.all, for: member, now: .zero, &actions)
        for connect in actions.connects {
            var ignored: [Action] = []
            machine.connected(connect, affinity: 0, now: .zero, &ignored)
        }
        let drawn = machine.tables[0].slots.compactMap(\.endOfLife)
        #expect(drawn.count == 1000)
        #expect(drawn.allSatisfy { $0 >= .seconds(500) && $0 <= .seconds(1000) })
        var histogram = [Int](repeating: 0, count: 10)
        for end in drawn { histogram[min(9, Int((end - .seconds(500)) / .seconds(50)))] += 1 }
        #expect(histogram.allSatisfy { (50...150).contains($0) }, "\(histogram)")
        // Drawn once: an alarm, a lease and a return change nothing.
        var ignored: [Action] = []
        machine.alarmRang(now: .seconds(499), &ignored)
        var emptyHanded: Int?
        let slot = try #require(machine.takeIdle(Demand(wants: .all), emptyHanded: &emptyHanded))
        machine.returned(slot, .usable, &ignored)
        #expect(machine.tables[0].slots.compactMap(\.endOfLife) == drawn)
        #expect(ignored.closes == [])
    }

    /// A pool of one connection that is to end at 100 s.
    private func mortal() -> Script {
        var pool = Script()
        pool.add(
            configuration(1) {
                $0.maximumLifetime = .seconds(100)
                $0.lifetimeJitter = 0
                $0.minimumSize = 1
                $0.keepAliveInterval = .seconds(80)
            }
        )
        pool.connected(SlotID(member: 0, index: 0, incarnation: 0))
        return pool
    }

    private let first = SlotID(member: 0, index: 0, incarnation: 0)

    @Test func anIdleConnectionEndsAtExactlyItsTimeAndIsReplacedAtOnce() {
        var pool = mortal()
        pool.machine.members[0].rules.keepAliveInterval = nil
        #expect(pool.elapse(.seconds(100) - .nanoseconds(1)).isEmpty)
        #expect(pool.elapse(.nanoseconds(1)).map(\.action) == [.close(first, .lifetimeOver)])
        #expect(pool.closed(first).connects.count == 1, "never below the minimum for longer than one connect")
    }

    @Test func aLeasedConnectionEndsWhenItComesBack() throws {
        var pool = mortal()
        #expect(pool.take().slot == first)
        #expect(pool.elapse(.seconds(200)).map(\.action) == [.summon(first)])
        _ = try pool.waiter()
        #expect(pool.release(first) == [.close(first, .lifetimeOver)])
        #expect(pool.closed(first).connects.count == 1)
    }

    @Test func aSoiledConnectionWhoseLifeIsOverIsNotBroughtIntoOrderFirst() {
        var pool = mortal()
        #expect(pool.take().slot == first)
        pool.elapse(.seconds(200))
        #expect(pool.release(first, .soiled) == [.close(first, .lifetimeOver)])
    }

    @Test func aTendedConnectionEndsAfterwards() {
        var pool = mortal()
        #expect(pool.take().slot == first)
        pool.elapse(.seconds(99))
        #expect(pool.release(first, .soiled) == [.tend(first, .recycle)])
        pool.begin(tending: first)
        #expect(pool.elapse(.seconds(2)).isEmpty)
        #expect(pool.tended(first) == [.close(first, .lifetimeOver)])
    }

    @Test func aClaimedConnectionEndsAfterTheClaim() {
        var pool = mortal()
        #expect(pool.claim(first) == .taken)
        pool.elapse(.seconds(101))
        #expect(pool.step { $0.claimEnded(first, .keep, &$2) } == [.close(first, .lifetimeOver)])
    }

    // MARK: Uses

    @Test func aConnectionIsClosedWhenItHasBeenUsedSoManyTimes() throws {
        var pool = Script()
        pool.add(configuration(1) { $0.maximumUses = 3 })
        let slot = try pool.leased(1)[0]
        for uses in 1...2 {
            #expect(pool.step { $0.returned(slot, .usable, uses: UInt64(uses), &$2) } == [])
            #expect(pool.take().slot == slot)
        }
        let waiter = try pool.waiter()
        #expect(pool.step { $0.returned(slot, .usable, uses: 3, &$2) } == [.close(slot, .usedUp)])
        let connects = pool.closed(slot).connects
        #expect(pool.connected(connects[0]).served == [waiter])
    }

    @Test func howOftenAConnectionMayBeUsedIsSaidWhenItIsOpened() throws {
        var pool = Script()
        pool.add(configuration(2) { $0.maximumUses = 3 })
        let old = try pool.idle(1)[0]
        pool.step { $0.reconfigure(0, configuration(2), now: $1, &$2) }
        #expect(pool.take().slot == old)
        #expect(pool.step { $0.returned(old, .usable, uses: 3, &$2) } == [.close(old, .usedUp)])
        pool.closed(old)
        let free = try pool.idle(1)[0]
        pool.step { $0.reconfigure(0, configuration(2) { $0.maximumUses = 3 }, now: $1, &$2) }
        #expect(pool.take().slot == free)
        #expect(pool.step { $0.returned(free, .usable, uses: 3, &$2) } == [])
    }
}

extension Action {
    var isWake: Bool { if case .wake = self { true } else { false } }
}

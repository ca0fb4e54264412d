// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// A request says which member it would like to be served by.
@Suite struct PreferenceTests {
    @Test func anIdleConnectionOfThePreferredMemberIsTakenFirst() throws {
        var pool = Script()
        let small = pool.add(maximum: 2)
        let large = pool.add(maximum: 10)
        _ = try pool.idle(2, Demand(wants: .all, member: small))
        _ = try pool.idle(2, Demand(wants: .all, member: large))
        #expect(pool.take(preferring: small).slot?.member == small)
        #expect(pool.take(preferring: small).slot?.member == small)
        #expect(pool.take().slot?.member == large, "without a preference the most free one")
    }

    @Test func whoFindsThePreferredMemberColdTakesAnotherAndOneIsOpenedThere() throws {
        var pool = Script()
        let cold = pool.add(maximum: 1)
        let warm = pool.add(maximum: 10)
        _ = try pool.idle(2, Demand(wants: .all, member: warm))
        let (slot, emptyHanded) = pool.take(preferring: cold)
        #expect(slot?.member == warm)
        #expect(emptyHanded == cold)
        let connects = pool.step { $0.openAhead(cold, now: $1, &$2) }.connects
        #expect(connects.map(\.member) == [cold])
        #expect(pool.take(preferring: cold).emptyHanded == nil, "one at a time")
        pool.connected(connects[0])
        #expect(pool.take(preferring: cold).slot?.member == cold)
    }

    @Test func withNothingIdleTheConnectGoesToThePreferredMember() throws {
        var pool = Script()
        let small = pool.add(maximum: 1)
        pool.add(maximum: 10)
        let (_, actions) = pool.request(preferring: small)
        #expect(actions.connects.map(\.member) == [small])
        let (_, others) = pool.request(preferring: small)
        #expect(others.connects.map(\.member) == [1], "the preferred one has no more room")
    }

    @Test func aPreferenceNeverBurstsWhileAnotherMemberHasRoom() throws {
        var pool = Script()
        let bursting = pool.add(maximum: 1, burst: 5)
        let other = pool.add(maximum: 2)
        _ = try pool.leased(1, Demand(wants: .all, member: bursting))
        #expect(pool.request(preferring: bursting).actions.connects.map(\.member) == [other])
    }

    @Test func whoWaitsTakesWhateverComesFirst() throws {
        var pool = Script()
        let preferred = pool.add(maximum: 1)
        let other = pool.add(maximum: 1)
        let leased = try pool.leased(2)
        guard case .waiting(let waiter) = pool.request(preferring: preferred).entry else {
            Issue.record("it does not wait")
            return
        }
        let first = try #require(leased.first { $0.member == other })
        #expect(pool.release(first).served == [waiter])
    }

    @Test func aMemberThatDoesNotServeTheRequestIsNotPreferred() throws {
        var pool = Script()
        let primary = pool.add(maximum: 2, serves: Script.primary)
        let replica = pool.add(maximum: 2, serves: Script.replica)
        _ = try pool.idle(1, ChoosingTests.write)
        let (entry, actions) = pool.request(ChoosingTests.read, preferring: primary)
        #expect(actions.connects.map(\.member) == [replica])
        guard case .waiting = entry else {
            Issue.record("a read was served by the primary")
            return
        }
    }

    @Test func thePreferenceOutlivesTheWait() throws {
        var pool = Script()
        let first = pool.add(maximum: 5, serves: [])
        let second = pool.add(maximum: 5, serves: [])
        _ = pool.request(preferring: second)
        _ = pool.request(preferring: first)
        // Both come into service, the first one alone at first.
        let one = pool.step { $0.setServices(.all, for: first, now: $1, &$2) }
        #expect(one.connects.map(\.member) == [first, first])
        let other = pool.step { $0.setServices(.all, for: second, now: $1, &$2) }
        #expect(other.connects == [], "both count on a connect already")
    }
}

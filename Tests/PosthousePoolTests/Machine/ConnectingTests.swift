// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// When connections are opened, and what becomes of them.
@Suite struct ConnectingTests {
    @Test func asManyConnectsAtOnceAsThereAreNumbers() throws {
        var pool = Script.lone(maximum: 100, concurrentConnects: .max)
        #expect(try pool.leased(100).count == 100, "the ramp doubles with each of them")
    }

    @Test func aHostThatComesBackIsConnectedToByFewAtFirst() throws {
        var pool = Script.lone(maximum: 100)
        for slot in try pool.idle(3) {
            pool.step { $0.setServices([], for: 0, now: $1, &$2) }
            pool.step { $0.expire(0, now: $1, &$2) }
            pool.closed(slot)
        }
        for _ in 0..<1000 { _ = pool.request(patience: .seconds(60)) }
        let first = pool.step { $0.setServices(.all, for: 0, now: $1, &$2) }.connects
        #expect(first.count == 2)
        let second = pool.connected(first[0]).connects
        #expect(second.count == 3, "it goes on as if it had never been away: four at once, then eight")
        #expect(pool.connected(first[1]).connects.count == 5)
    }

    @Test func aHostThatIsNewIsConnectedToByAllWhoWait() throws {
        var pool = Script(.failRequester)
        let member = pool.add(maximum: 100, serves: [])
        for _ in 0..<1000 { _ = pool.request(patience: .seconds(60)) }
        #expect(pool.step { $0.setServices(.all, for: member, now: $1, &$2) }.connects.count == 10)
    }

    @Test func aDeadLastConnectionIsReplacedForTheRequestThatWaits() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.leased(1)[0]
        let waiter = try pool.waiter()
        #expect(pool.release(slot, .closed) == [.close(slot, .reportedClosed)])
        let connect = pool.closed(slot).connects
        #expect(connect.count == 1)
        #expect(pool.connected(connect[0]).served == [waiter])
    }

    @Test func aDroppedConnectionMakesRoomWithoutAClose() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.leased(1)[0]
        _ = try pool.waiter()
        #expect(pool.release(slot, .invalid(isCancellation: false)) == [.drop(slot, .invalid)])
        #expect(pool.closed(slot).connects.count == 1)
    }

    @Test func aConnectOutlivesTheRequestThatAskedForIt() throws {
        var pool = Script.lone(maximum: 1)
        for _ in 0..<8 {
            let (_, actions) = pool.request(patience: .milliseconds(25))
            #expect(actions.connects.count <= 1)
            #expect(pool.advance(.milliseconds(25)).refused.count == 1)
        }
        #expect(pool.member.connecting == 1, "all counted on the same connect")
        #expect(pool.connected(SlotID(member: 0, index: 0, incarnation: 0)) == [])
        #expect(pool.member.idle == 1)
    }

    @Test func aReturnDuringASlowConnectServesTheWaiterAndTheLateConnectionIsKept() throws {
        var pool = Script.lone(maximum: 2)
        let slot = try pool.leased(1)[0]
        let (entry, actions) = pool.request()
        #expect(pool.release(slot).served.map { .waiting($0) } == [entry])
        #expect(pool.connected(actions.connects[0]) == [])
        #expect(pool.member.idle == 1)
    }

    @Test func aLateConnectionAboveTheSoftLimitIsClosed() throws {
        var pool = Script.lone(maximum: 1, burst: 2)
        let slot = try pool.leased(1)[0]
        let (_, actions) = pool.request()
        let late = actions.connects[0]
        #expect(pool.release(slot).served.count == 1)
        #expect(pool.connected(late) == [.close(late, .overSoftLimit)])
        #expect(pool.closed(late) == [.burstStopped(0)])
    }

    @Test func aFailedConnectFailsTheRequestThatAskedForItAndNoOther() throws {
        var pool = Script.lone(maximum: 1)
        let (first, actions) = pool.request()
        let others = try (0..<3).map { _ in try pool.waiter() }
        var connect = actions.connects[0]
        guard case .waiting(let asker) = first else { throw Disappointment("it does not wait", #_sourceLocation) }
        for waiter in [asker] + others.dropLast() {
            let actions = pool.connectFailed(connect)
            #expect(actions.refused == [waiter], "each has asked for its own")
            connect = actions.connects[0]
        }
        #expect(pool.connected(connect).served == [others[2]])
    }

    @Test func theErrorOfAConnectDoesNotReachWhoOnlyFoundItUnderWay() throws {
        var pool = Script.lone(maximum: 1)
        let (_, actions) = pool.request(patience: .seconds(1))
        pool.advance(.seconds(1))
        let adopter = try pool.waiter()
        let after = pool.connectFailed(actions.connects[0])
        #expect(after.refused == [])
        #expect(pool.connected(after.connects[0]).served == [adopter])
    }

    @Test func whoIsOvertakenByItsConnectCountsOnTheOtherOne() throws {
        var pool = Script.lone(maximum: 2)
        let (_, first) = pool.request()
        let (_, second) = pool.request()
        let slow = first.connects[0]
        let fast = second.connects[0]
        #expect(pool.connected(fast).served.map(\.ticket) == [0], "the first request takes what comes first")
        #expect(pool.member.connecting == 1, "nothing more is opened for the second")
        #expect(pool.connected(slow).served.map(\.ticket) == [1])
    }

    @Test func afterAFailureTheMemberIsLeftAloneForAGrowingWhile() throws {
        var pool = Script.lone(maximum: 4, policy: .keepWaiting)
        let (_, actions) = pool.request(patience: .seconds(600))
        _ = try pool.waiter(patience: .seconds(600))
        var connects = actions.connects
        var expected = Duration.milliseconds(100)
        for _ in 0..<12 {
            #expect(pool.connectFailed(connects[0]).refused == [], "requests wait on")
            if pool.member.connecting > 0 { pool.connectFailed(SlotID(member: 0, index: 1, incarnation: 0)) }
            let pause = try #require(pool.member.retryAt) - pool.now
            #expect(pause >= expected / 2 && pause <= expected)
            connects = pool.advance(pause).connects
            #expect(connects.count == 1, "one attempt at a time while the member is known to fail")
            expected = min(expected * 2, .seconds(10))
        }
        #expect(pool.connected(connects[0]).granted.count == 1)
        #expect(pool.member.failures == 0)
        #expect(pool.member.connecting == 1, "the other request gets its connect now")
    }

    @Test func connectsThatFailTogetherAreOneFailure() throws {
        var pool = Script.lone(maximum: 8, policy: .keepWaiting)
        var connects: [SlotID] = []
        for _ in 0..<8 { connects += pool.request().actions.connects }
        #expect(connects.count == 8)
        for connect in connects { pool.connectFailed(connect) }
        #expect(pool.member.failures == 1)
    }

    @Test func aConnectThatHangsCostsOneSlotUntilItsTimeout() throws {
        var pool = Script.lone(maximum: 2)
        let hanging = pool.request(patience: .seconds(60)).actions.connects[0]
        let slot = try pool.leased(1)[0]
        #expect(pool.release(slot).served.count == 1, "the other one serves")
        pool.release(slot)
        let actions = pool.advance(.seconds(10))
        #expect(actions == [.abandonConnect(hanging, timedOut: true)])
        #expect(pool.member.sockets == 2, "its socket may still be there")
        pool.connectFailed(hanging)
        #expect(pool.member.sockets == 1)
    }

    @Test func theRequestThatAskedForAHangingConnectIsToldSo() throws {
        var pool = Script.lone(maximum: 1)
        let (entry, actions) = pool.request(patience: .seconds(60))
        let hanging = actions.connects[0]
        guard case .waiting(let waiter) = entry else { throw Disappointment("it does not wait", #_sourceLocation) }
        let told = pool.advance(.seconds(10))
        #expect(told == [.abandonConnect(hanging, timedOut: true), .fail(waiter, .connectFailed(hanging))])
    }

    @Test func aConnectThatNeverEndsIsWrittenOffAndItsLateSuccessIsNotAdmitted() throws {
        var pool = Script.lone(maximum: 1, policy: .keepWaiting)
        let hanging = pool.request(patience: .seconds(60)).actions.connects[0]
        pool.advance(.seconds(10))
        #expect(pool.member.sockets == 1)
        let next = pool.advance(.seconds(1)).connects
        #expect(next.count == 1, "the slot is free for another")
        var isKnown = true
        let actions = pool.step { isKnown = $0.connected(hanging, affinity: 0, now: $1, &$2) }
        #expect(!isKnown && actions == [])
        #expect(pool.connected(next[0]).granted == next)
    }

    @Test func aSuccessAfterTheTimeoutIsClosed() throws {
        var pool = Script.lone(maximum: 1)
        let hanging = pool.request(patience: .seconds(60)).actions.connects[0]
        pool.advance(.seconds(10))
        #expect(pool.connected(hanging) == [.close(hanging, .late)])
        #expect(pool.member.sockets == 1)
        pool.closed(hanging)
        #expect(pool.member.sockets == 0)
    }

    @Test func aSpikeOfShortWorkDoesNotOpenTheWholePool() throws {
        var pool = Script.lone(maximum: 50)
        let warm = try pool.idle(5)
        var connects: [SlotID] = []
        for _ in 0..<50 { connects += pool.request().actions.connects }
        #expect(pool.member.leased == 5)
        var busy = warm
        while pool.waiting() > 0 {
            pool.advance(.milliseconds(2))
            let done = busy
            busy = []
            for slot in done {
                let actions = pool.release(slot)
                busy += actions.granted
                connects += actions.connects
            }
        }
        #expect(connects.count <= 2, "150 ms later two arrive, and rest")
        for connect in connects { pool.connected(connect) }
        #expect(pool.member.live <= 7)
    }

    @Test func whileNothingComesBackMoreAreOpenedEachTime() throws {
        var pool = Script.lone(maximum: 50, concurrentConnects: 8)
        _ = try pool.leased(1)
        var connects: [SlotID] = []
        for _ in 0..<40 { connects += pool.request().actions.connects }
        var rounds: [Int] = []
        while !connects.isEmpty {
            rounds.append(connects.count)
            let arriving = connects
            connects = []
            for connect in arriving { connects += pool.connected(connect).connects }
        }
        #expect(pool.member.leased == 41)
        #expect(rounds[0] <= 8 && rounds.max()! <= 8 && rounds.count < 8)
    }

    @Test func aColdPoolOpensAsManyAsAreAskedForAtOnce() throws {
        var pool = Script.lone(maximum: 20)
        let connects = (0..<10).flatMap { _ in pool.request().actions.connects }
        #expect(connects.count == 10)
    }

    @Test func closingConnectionsCountAgainstTheHardLimit() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.leased(1)[0]
        pool.release(slot, .closed)
        let (_, actions) = pool.request()
        #expect(actions == [], "there is no room while the old socket may be open")
        #expect(pool.closed(slot).connects.count == 1)
    }

    @Test func aStrategyThatOpensOnlyDeadConnectionsIsNotCalledInATightLoop() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.leased(1)[0]
        pool.step { $0.rejected(Reject(id: slot, condition: .closed, isFirstUse: true), now: $1, &$2) }
        let (_, actions) = pool.request(patience: .seconds(60))
        #expect(actions == [])
        #expect(pool.closed(slot) == [])
        #expect(pool.advance(.milliseconds(100)).connects.count == 1)
    }
}

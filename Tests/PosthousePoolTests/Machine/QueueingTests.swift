// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PosthousePool

/// Who is served, and in which order.
@Suite struct QueueingTests {
    @Test func aRequestThatFindsNothingIdleOpensAConnectionAndGetsIt() throws {
        var pool = Script.lone(maximum: 2)
        let (entry, actions) = pool.request()
        guard case .waiting(let waiter) = entry else { throw Disappointment("it does not wait", #_sourceLocation) }
        let slot = SlotID(member: 0, index: 0, incarnation: 0)
        #expect(actions == [.connect(slot)])
        #expect(pool.connected(slot) == [.grant(waiter, slot)])
        #expect(pool.release(slot) == [])
        #expect(pool.take().slot == slot)
    }

    @Test func nothingIsOpenedBeforeItIsAskedFor() {
        let pool = Script.lone(maximum: 5)
        #expect(pool.member.sockets == 0)
        #expect(pool.alarm == nil)
    }

    @Test func requestsAreServedInTheOrderTheyCame() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.leased(1)[0]
        let waiters = try (0..<5).map { _ in try pool.waiter() }
        for waiter in waiters {
            #expect(pool.release(slot) == [.grant(waiter, slot)])
        }
    }

    @Test func whoComesAtTheMomentOfAReturnDoesNotOvertakeWhoWaits() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.leased(1)[0]
        let first = try pool.waiter()
        #expect(pool.release(slot).served == [first])
        #expect(pool.take().slot == nil)
        let second = try pool.waiter()
        #expect(pool.release(slot).served == [second])
    }

    @Test func aCancelledWaiterNeverKeepsASlot() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.leased(1)[0]
        let first = try pool.waiter()
        let second = try pool.waiter()
        #expect(pool.cancel(first) == [.fail(first, .cancelled)])
        #expect(pool.release(slot).served == [second])
        #expect(pool.release(slot) == [])
        #expect(pool.member.idle == 1)
    }

    @Test func aWaiterIsDecidedOnce() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.leased(1)[0]
        let waiter = try pool.waiter()
        #expect(pool.release(slot).served == [waiter])
        #expect(pool.cancel(waiter) == [])
        let next = try pool.waiter()
        #expect(next.index == waiter.index)
        #expect(pool.cancel(waiter) == [], "a later request at the same place is another one")
        #expect(pool.waiting() == 1)
    }

    @Test(.apart) func aMillionCancelledWaitersLeaveTheQueueAsItWas() throws {
        var queue = WaitQueue()
        let stays = queue.enter(Demand(wants: .all), deadline: .seconds(9), holder: 0)
        for number in 0..<1_000_000 {
            let id = queue.enter(Demand(wants: .all), deadline: .seconds(number % 7), holder: 0)
            queue.remove(at: id.index)
        }
        #expect(queue.capacity == 2)
        #expect(queue.count == 1)
        #expect(queue.contains(stays))
    }

    @Test(.apart) func anEmptyQueueGivesItsMemoryBack() {
        var queue = WaitQueue()
        let ids = (0..<10_000).map {
            queue.enter(Demand(wants: .all), deadline: .seconds($0 % 5), holder: 0)
        }
        #expect(queue.capacity == 10_000)
        for id in ids.shuffled() { queue.remove(at: id.index) }
        #expect(queue.capacity == 0)
        #expect(queue.lines.count == 1)
    }

    @Test func aRequestThatWasGivenADeadConnectionComesBackToItsPlace() throws {
        var pool = Script.lone(maximum: 2)
        let slots = try pool.leased(2)
        let first = try pool.waiter()
        let second = try pool.waiter()
        #expect(pool.release(slots[0]).served == [first])
        let reject = Reject(id: slots[0], condition: .closed, isFirstUse: false)
        let (entry, actions) = pool.request(ticket: first.ticket, rejecting: reject)
        guard case .waiting = entry else { throw Disappointment("it does not wait again", #_sourceLocation) }
        #expect(actions == [.close(slots[0], .reportedClosed)])
        let connects = pool.closed(slots[0]).connects
        #expect(pool.connected(connects[0]).served.map(\.ticket) == [first.ticket])
        #expect(pool.cancel(second).refused == [second])
    }

    @Test func everyWaiterTimesOutAtItsOwnDeadlineWhateverTheOrder() throws {
        var pool = Script.lone(maximum: 1)
        _ = try pool.leased(1)
        let patience = [5, 1, 4, 2, 3]
        let waiters = try patience.map { try pool.waiter(patience: .seconds($0)) }
        for second in 1...5 {
            let expected = waiters[patience.firstIndex(of: second)!]
            #expect(pool.advance(.seconds(1)) == [.fail(expected, .timedOut(held: 0))])
        }
        #expect(pool.waiting() == 0)
    }

    @Test func oneAlarmDoesForAllWaitersAndIsNotMovedForLaterOnes() throws {
        var pool = Script.lone(maximum: 1)
        _ = try pool.leased(1)
        for extra in 1...100 {
            _ = try pool.waiter(patience: .seconds(5 + extra))
            #expect(pool.alarm == pool.now + .seconds(5), "later deadlines do not touch it")
        }
        _ = try pool.waiter(patience: .seconds(1))
        #expect(pool.alarm == pool.now + .seconds(1))
    }

    @Test func aDeadlineInThePastStillTakesAnIdleConnection() throws {
        var pool = Script.lone(maximum: 1)
        let slot = try pool.idle(1)[0]
        #expect(pool.request(patience: .seconds(-1)).entry == .taken(slot))
        let (_, actions) = pool.request(patience: .seconds(-1))
        #expect(actions.refused.count == 1)
    }

    @Test func theQueueIsAsLongAsItMayBe() throws {
        var pool = Script(.keepWaiting, maximumWaiters: 2)
        pool.add(maximum: 1)
        let slot = try pool.leased(1)[0]
        _ = try pool.waiter()
        _ = try pool.waiter()
        #expect(pool.request().entry == .exhausted)
        pool.release(slot)
        _ = try pool.waiter()
    }

    @Test func whoGetsAConnectionOfItsOwnIsNotCountedAmongTheWaiting() throws {
        var pool = Script(.keepWaiting, maximumWaiters: 0)
        pool.add(maximum: 3)
        let requests = (0..<3).map { _ in pool.request() }
        #expect(requests.flatMap(\.actions.connects).count == 3)
        #expect(pool.request().entry == .exhausted)
        #expect(requests.flatMap { pool.connected($0.actions.connects[0]).served }.count == 3)
    }

    @Test func aTimeOutTellsWhatTheWaitingTaskHoldsItself() throws {
        var pool = Script.lone(maximum: 1)
        let (_, actions) = pool.request(holder: 7)
        pool.connected(actions.connects[0])
        _ = pool.request(patience: .seconds(1), holder: 7)
        _ = pool.request(patience: .seconds(1), holder: 8)
        let refusals = pool.advance(.seconds(1)).map {
            if case .fail(_, let refusal) = $0 { refusal } else { Refusal.closed }
        }
        #expect(refusals == [.timedOut(held: 1), .timedOut(held: 0)])
    }
}

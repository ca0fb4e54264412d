// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import Testing

@testable import PosthousePool

/// Requests that are refused at once, or soon: a member that fails for long, overload, requests that fail fast.
@Suite struct AvailabilityTests {
    private func pool(
        _ maximum: Int = 2,
        _ policy: ConnectFailurePolicy = .keepWaiting,
        breakAfter: Duration? = .seconds(3),
        overload: OverloadControl? = nil,
        hasBudget: Bool = false,
        _ change: (inout PoolConfiguration) -> Void = { _ in }
    ) -> Script {
        var configuration = PoolConfiguration(maximumSize: maximum, idleTimeout: nil, maximumLifetime: nil)
        change(&configuration)
        var script = Script(policy, breakAfter: breakAfter, overload: overload, hasBudget: hasBudget)
        script.add(configuration)
        return script
    }

    /// Every connect fails, after some time. Returns what happened when.
    @discardableResult
    private func fail(
        _ pool: inout Script,
        _ connects: [SlotID],
        for duration: Duration
    ) -> [(at: Moment, action: Action)] {
        var done: [(at: Moment, action: Action)] = []
        var open = connects
        let end = pool.now + duration
        while pool.now < end {
            while let connect = open.popLast() {
                let actions = pool.connectFailed(connect)
                done += actions.map { (pool.now, $0) }
                open += actions.connects
                // A connect that fails at once and is begun again at once would not end.
                guard done.count < 10_000 else { return done }
            }
            let step = min(end, max(pool.alarm ?? end, pool.now)) - pool.now
            let actions = pool.advance(step)
            done += actions.map { (pool.now, $0) }
            open += actions.connects
        }
        return done
    }

    // MARK: Failing fast

    @Test func whoWaitsForAMemberThatFailsForLongIsRefusedAtOnce() throws {
        var pool = pool()
        let (entry, actions) = pool.request(patience: .seconds(60))
        guard case .waiting(let waiter) = entry else { throw Disappointment("it does not wait", #_sourceLocation) }
        let done = fail(&pool, actions.connects, for: .seconds(4))
        let broken = try #require(done.first { $0.action == .broken(0) })
        #expect(broken.at == .seconds(3))
        #expect(done.first { $0.action == .fail(waiter, .unavailable(0)) }?.at == .seconds(3))
        #expect(pool.request().entry == .unavailable(0))
    }

    @Test(arguments: [ConnectFailurePolicy.keepWaiting, .failRequester])
    func aBrokenMemberIsTriedOnceInEachStepOfTheBackOffUntilItWorks(policy: ConnectFailurePolicy) throws {
        var pool = pool(4, policy)
        let (_, actions) = pool.request(patience: .seconds(60))
        let done = fail(&pool, actions.connects, for: .seconds(303))
        #expect(done.map(\.action).contains(.broken(0)))
        let tries = done.filter { if case .connect = $0.action { $0.at >= .seconds(30) } else { false } }.map(\.at)
        #expect(tries.count >= 25, "it is not given up")
        // The longest pause is ten seconds, drawn from its upper half.
        #expect(zip(tries, tries.dropFirst()).allSatisfy { $1 - $0 >= .seconds(5) })
        #expect(done.count { if case .broken = $0.action { true } else { false } } == 1)
    }

    @Test func aConnectThatWorksRepairsTheMember() throws {
        var pool = pool()
        let (_, actions) = pool.request(patience: .seconds(60))
        fail(&pool, actions.connects, for: .seconds(4))
        #expect(pool.request().entry == .unavailable(0))
        var connects: [SlotID] = []
        while connects.isEmpty { connects = pool.advance(.milliseconds(100)).connects }
        #expect(pool.connected(connects[0]) == [.repaired(0)])
        #expect(pool.request().entry == .taken(connects[0]))
    }

    @Test func comingIntoServiceRepairsTheMember() throws {
        var pool = pool()
        let (_, actions) = pool.request(patience: .seconds(60))
        fail(&pool, actions.connects, for: .seconds(4))
        pool.step { $0.setServices([], for: 0, now: $1, &$2) }
        #expect(pool.step { $0.setServices(.all, for: 0, now: $1, &$2) }.contains(.repaired(0)))
        guard case .waiting = pool.request().entry else { throw Disappointment("it does not wait", #_sourceLocation) }
    }

    @Test func whileAConnectionIsOpenNobodyIsRefused() throws {
        var pool = pool(2)
        let slot = try pool.leased(1)[0]
        let (entry, actions) = pool.request(patience: .seconds(600))
        guard case .waiting(let waiter) = entry else { throw Disappointment("it does not wait", #_sourceLocation) }
        let done = fail(&pool, actions.connects, for: .seconds(60))
        #expect(!done.map(\.action).contains(.broken(0)))
        #expect(pool.release(slot).served == [waiter])
    }

    @Test func refusingAtTheFirstFailureDoesNotMakeTheAlarmRingWithoutEnd() throws {
        var pool = pool(2, breakAfter: .zero)
        let slot = try pool.leased(1)[0]
        let connect = pool.request(patience: .seconds(600)).actions.connects[0]
        #expect(pool.connectFailed(connect) == [], "one is open")
        pool.elapse(.milliseconds(10))
        #expect(pool.release(slot, .closed).closes == [slot])
        let next = pool.closed(slot).connects + pool.elapse(.seconds(1)).map(\.action).connects
        #expect(pool.connectFailed(next[0]).contains(.broken(0)))
    }

    @Test func anotherMemberThatCouldServeKeepsRequestsWaiting() throws {
        var pool = pool(1)
        pool.add(PoolConfiguration(maximumSize: 1, idleTimeout: nil, maximumLifetime: nil))
        let other = pool.request(Demand(wants: .all, member: 1), patience: .seconds(600)).actions.connects
        #expect(pool.connected(other[0]).granted == other)
        let (entry, actions) = pool.request(patience: .seconds(600))
        guard case .waiting(let waiter) = entry else { throw Disappointment("it does not wait", #_sourceLocation) }
        let done = fail(&pool, actions.connects, for: .seconds(60)).map(\.action)
        #expect(done.contains(.broken(0)))
        #expect(done.refused == [])
        // The other one is cut off: now nobody could serve it soon.
        let fenced = pool.step { $0.fence(1, now: $1, &$2) }
        #expect(fenced.contains(.fail(waiter, .unavailable(0))))
        #expect(pool.waiting() == 0)
    }

    @Test func aBrokenMemberOfABudgetAsksForAPlaceToTryWith() throws {
        var pool = pool(2, hasBudget: true)
        _ = pool.request(patience: .seconds(600))
        func balance() -> [Action] { pool.step { machine, _, actions in machine.balanceBudget(&actions) } }
        #expect(balance().asksForAPlace)
        var connects = pool.step { $0.permitGranted(now: $1, &$2) }.connects
        var asked = false
        for _ in 0..<200 {
            if let connect = connects.popLast() { pool.connectFailed(connect) }
            if balance().asksForAPlace {
                asked = pool.member.isBroken
                connects = pool.step { $0.permitGranted(now: $1, &$2) }.connects
                _ = balance()
                if asked { break }
            }
            connects += pool.advance(.milliseconds(100)).connects
        }
        #expect(asked)
        #expect(pool.connected(try #require(connects.first)).contains(.repaired(0)))
    }

    @Test func aRequestThatFailsFastHearsOfTheFirstConnectItCountsOn() throws {
        var pool = pool(2, breakAfter: nil)
        let (entry, actions) = pool.request(patience: .seconds(60), failsFast: true)
        guard case .waiting(let waiter) = entry else { throw Disappointment("it does not wait", #_sourceLocation) }
        let other = try pool.waiter(patience: .seconds(60))
        #expect(pool.connectFailed(actions.connects[0]) == [.fail(waiter, .connectFailed(actions.connects[0]))])
        #expect(pool.waiting() == 1, "\(other) does not")
    }

    @Test(arguments: [ConnectFailurePolicy.keepWaiting, .failRequester])
    func aRequestThatFailsFastHearsOfAConnectThatItFoundUnderWay(policy: ConnectFailurePolicy) throws {
        var pool = pool(2, policy, breakAfter: nil) { $0.minimumSize = 1 }
        let connect = SlotID(member: 0, index: 0, incarnation: 0)
        let (entry, actions) = pool.request(patience: .seconds(60), failsFast: true)
        guard case .waiting(let waiter) = entry else { throw Disappointment("it does not wait", #_sourceLocation) }
        #expect(actions == [], "the minimum is being opened")
        #expect(pool.connectFailed(connect).filter { $0.isRefusal } == [.fail(waiter, .connectFailed(connect))])
    }

    // MARK: Overload

    @Test func aConnectThatFailedALittleWhileAgoIsNoOverload() throws {
        var pool = pool(1, breakAfter: nil, overload: OverloadControl())
        // Long before, so that a moment that was never noted would count as long ago.
        pool.now += .seconds(1000)
        let (_, actions) = pool.request(patience: .seconds(600))
        pool.now += .milliseconds(50)
        pool.connectFailed(try #require(actions.connects.first))
        pool.now += .milliseconds(10)
        let patient = try pool.waiter(patience: .seconds(600))
        #expect(pool.machine.queue[patient.index].deadline == pool.now + .seconds(600))
    }

    @Test func inAQueueThatDoesNotEmptyNewRequestsWaitOnlyForAShortTime() throws {
        let overload = OverloadControl(target: .milliseconds(5), interval: .milliseconds(100))
        var pool = pool(1, breakAfter: nil, overload: overload)
        let slot = try pool.leased(1)[0]
        let patient = try pool.waiter(patience: .seconds(5))
        pool.elapse(.milliseconds(100))
        let last = try pool.waiter(patience: .seconds(5))
        pool.elapse(.milliseconds(1))
        let hasty = try pool.waiter(patience: .seconds(5))
        #expect(pool.elapse(.milliseconds(4)).isEmpty)
        #expect(pool.elapse(.milliseconds(1)).map(\.action) == [.fail(hasty, .overloaded)])
        #expect(pool.release(slot).served == [patient])
        #expect(pool.release(slot).served == [last], "the queue has been empty for no moment")
        // Now it has: requests may wait again.
        let next = try pool.waiter(patience: .seconds(5))
        #expect(pool.elapse(.milliseconds(50)).isEmpty)
        #expect(pool.release(slot).served == [next])
    }

    @Test func aRequestWithAnEvenShorterDeadlineTimesOut() throws {
        var pool = pool(1, breakAfter: nil, overload: OverloadControl())
        _ = try pool.leased(1)
        _ = try pool.waiter(patience: .seconds(5))
        pool.elapse(.milliseconds(101))
        let waiter = try pool.waiter(patience: .milliseconds(3))
        #expect(pool.elapse(.milliseconds(3)).map(\.action) == [.fail(waiter, .timedOut(held: 0))])
    }

    @Test func aRequestForWhichAConnectionIsBeingOpenedIsNotRefused() throws {
        var pool = pool(2, breakAfter: nil, overload: OverloadControl())
        let connect = pool.request(patience: .seconds(5)).actions.connects[0]
        pool.elapse(.milliseconds(200))
        let (entry, actions) = pool.request(patience: .seconds(5))
        guard case .waiting(let waiter) = entry else { throw Disappointment("it does not wait", #_sourceLocation) }
        #expect(pool.elapse(.milliseconds(50)).isEmpty)
        #expect(pool.connected(connect).granted.count == 1)
        #expect(pool.connected(actions.connects[0]).served == [waiter])
    }

    // MARK: Reconfiguring, detaching

    @Test func newRulesHoldFromNowOn() throws {
        var pool = pool(4, breakAfter: nil)
        let slots = try pool.idle(4)
        var configuration = PoolConfiguration(maximumSize: 3, idleTimeout: .seconds(40), maximumLifetime: nil)
        configuration.minimumSize = 1
        let actions = pool.step { $0.reconfigure(0, configuration, now: $1, &$2) }
        #expect(actions == [.close(slots[3], .resized)])
        pool.closed(slots[3])
        #expect(pool.elapse(.seconds(60)).map(\.action).closes == [slots[2], slots[1]])
        pool.closed(slots[2])
        pool.closed(slots[1])
        configuration.minimumSize = 3
        #expect(pool.step { $0.reconfigure(0, configuration, now: $1, &$2) }.connects.count == 2)
    }

    @Test func aDetachedConnectionMakesRoomForAnother() throws {
        var pool = pool(1, breakAfter: nil)
        let slot = try pool.leased(1)[0]
        let waiter = try pool.waiter()
        let connects = pool.step { $0.detached(slot, now: $1, &$2) }.connects
        #expect(connects == [SlotID(member: 0, index: 0, incarnation: 1)])
        #expect(pool.connected(connects[0]).served == [waiter])
        #expect(pool.release(slot) == [], "it is not the pool's any more")
    }

    @Test func theCloseDoesNotWaitForWhatWasDetached() throws {
        var pool = pool(1, breakAfter: nil)
        let slot = try pool.leased(1)[0]
        #expect(pool.step { $0.close(deadline: nil, now: $1, &$2) } == [])
        #expect(pool.step { $0.detached(slot, now: $1, &$2) } == [.finishClose(stillLeased: 0)])
    }
}

extension Action {
    var isRefusal: Bool { if case .fail = self { true } else { false } }
}

extension [Action] {
    fileprivate var asksForAPlace: Bool {
        contains { if case .wishPlace(.urgent, _) = $0 { true } else { false } }
    }
}

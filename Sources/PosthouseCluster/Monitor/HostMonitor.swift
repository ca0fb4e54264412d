// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool
import Synchronization

/// Asks one host, on a session of its own, who it is; again and again until it is cancelled.
///
/// It reports what it sees and decides nothing: the verdict is the ``TopologyMachine``'s.
final class HostMonitor<Driver: ClusterDriver>: Sendable {
    /// The result of one check.
    struct Check: Sendable {
        var outcome: Result<HostReport, HostFailure>
        /// Whether it ran on a session opened for it.
        var fresh: Bool
        /// Whether users were answered while it ran; if it could not run, since the last one. Looked at only where that matters.
        var wasHeard = false
        var responseTime: Duration
        var began: ContinuousClock.Instant

        /// How it ended, if it left no session.
        fileprivate var ending: CheckSchedule.Ending {
            guard fresh else { return .lostSession }
            // What fails at once is not to be tried again and again.
            if wasHeard, case .failure(let failure) = outcome, failure.kind == .timedOut { return .overdue }
            return .failedConnect
        }
    }

    /// The session of the checks, and what its server said when it was asked for all.
    private struct Session {
        /// How long that spares it the whole question. Less than the usual pause between two checks.
        static var memory: Duration { .milliseconds(500) }

        let connection: Driver.Connection
        private var known: HostReport?
        private var knownAt: ContinuousClock.Instant?

        init(_ connection: Driver.Connection) {
            self.connection = connection
        }

        init(_ connection: Driver.Connection, _ report: HostReport, at now: ContinuousClock.Instant) {
            self.connection = connection
            (known, knownAt) = (report, now)
        }

        func known(at now: ContinuousClock.Instant) -> HostReport? {
            guard let knownAt, knownAt.duration(to: now) < Self.memory else { return nil }
            return known
        }

        mutating func remember(_ report: HostReport, at now: ContinuousClock.Instant) {
            (known, knownAt) = (report, now)
        }
    }

    /// A check is inconclusive when we were away longer than this meanwhile.
    private static var toleratedStall: Duration { .milliseconds(100) }

    private let endpoint: Driver.Endpoint
    private let driver: Driver
    private let clock: any ClusterClock
    private let timeout: Duration
    private let observer: any ConnectionObserver
    /// How often the host has answered its users; it only grows.
    private let answers: @Sendable () -> UInt64
    private let bell = Doorbell()
    private let schedule: Guarded<CheckSchedule>
    private let wantsCheck = Atomic(false)
    private let wantsNewSession = Atomic(false)
    private let wantsSecondSession = Atomic(false)
    private let random: @Sendable () -> Double

    init(
        endpoint: Driver.Endpoint,
        driver: Driver,
        clock: any ClusterClock,
        refreshDelay: Duration,
        timeout: Duration,
        observer: any ConnectionObserver,
        answers: @escaping @Sendable () -> UInt64,
        random: @escaping @Sendable () -> Double
    ) {
        self.endpoint = endpoint
        self.driver = driver
        self.clock = clock
        self.timeout = timeout
        self.observer = observer
        self.answers = answers
        self.random = random
        // The first hunt is for a primary that nobody has seen yet.
        var schedule = CheckSchedule(refreshDelay: refreshDelay)
        schedule.huntingSince = clock.now
        self.schedule = Guarded(schedule)
    }

    /// Asks for a check as soon as the least gap allows.
    func checkNow() {
        wantsCheck.store(true, ordering: .releasing)
        bell.ring()
    }

    /// The next check opens a session: behind the address there may be another server than the one that this session reaches.
    func renew() {
        wantsNewSession.store(true, ordering: .relaxed)
    }

    /// One of the next checks opens a second session before it closes the first: the address may lead elsewhere by now.
    func compare() {
        wantsSecondSession.store(true, ordering: .relaxed)
    }

    func hunt(_ hunts: Bool) {
        let now = clock.now
        schedule.withLock { $0.huntingSince = hunts ? now : nil }
        bell.ring()
    }

    /// Checks until the task is cancelled; each check ends before the next begins.
    func run(_ report: @Sendable (Check) -> Void) async {
        var session: Session?
        var answersBefore = answers()
        while !Task.isCancelled {
            await pause(hasSession: session != nil)
            if Task.isCancelled { break }
            let check = await check(&session, answersBefore)
            answersBefore = answers()
            let now = clock.now
            let draw = random()
            let ending = session != nil ? .answered : check.ending
            schedule.withLock { $0.checked(ending, at: now, took: check.responseTime, random: draw) }
            if Task.isCancelled { break }
            report(check)
        }
        if let session { driver.close(session.connection) }
    }

    private func pause(hasSession: Bool) async {
        while true {
            let now = clock.now
            let isWanted = wantsCheck.load(ordering: .acquiring)
            let due = schedule.withLock {
                isWanted ? $0.dueOnRequest(hasSession: hasSession, now: now) : $0.due(hasSession: hasSession, now: now)
            }
            guard due > now, !Task.isCancelled else {
                // Whoever asks from now on asks for the next one.
                let answersRequest = wantsCheck.exchange(false, ordering: .sequentiallyConsistent)
                if answersRequest { schedule.withLock { $0.beginsOnRequest() } }
                return
            }
            // A hunt that begins or ends rings too: the time is computed anew.
            _ = await bell.sleep(until: due, clock: clock)
        }
    }

    private func open(by deadline: ContinuousClock.Instant) async throws -> Driver.Connection {
        try await driver.connect(to: endpoint, for: .monitor, observer: observer, deadline: deadline)
    }

    /// Another session than the one that works, and what it says. A server that has no room for it, or takes half of the check's
    /// time to let somebody in and answer, is watched on, and has the other half for that.
    private func secondLook(
        by deadline: ContinuousClock.Instant
    ) async -> (session: Driver.Connection, report: HostReport, asked: ContinuousClock.Instant)? {
        guard let other = try? await open(by: deadline) else { return nil }
        let asked = clock.now
        if let report = try? await driver.probe(other, deadline: deadline) { return (other, report, asked) }
        driver.close(other)
        return nil
    }

    /// - Parameter answersSoFar: Those that users had got when the last check ended.
    private func check(_ session: inout Session?, _ answersSoFar: UInt64) async -> Check {
        let began = clock.now
        let deadline = began + timeout
        // A host that is kept out asks for a new session at each check, and a hunt checks it every 5 ms.
        let isDoubted = wantsNewSession.load(ordering: .relaxed)
        if session == nil || (isDoubted && schedule.withLock { $0.mayRenew(at: began) }) {
            wantsNewSession.store(false, ordering: .relaxed)
            if let old = session.take() { driver.close(old.connection) }
        }
        let fresh = session == nil
        // Only silence towards a session of its own is a proof.
        let answersBefore = fresh ? answers() : 0
        let isAsked = wantsSecondSession.load(ordering: .relaxed)
        if let old = session, schedule.withLock({ $0.looksAgain(at: began, isAsked: isAsked) }),
            let (other, report, asked) = await secondLook(by: began + timeout / 2)
        {
            wantsSecondSession.store(false, ordering: .relaxed)
            driver.close(old.connection)
            session = Session(other, report, at: asked)
            return Check(
                outcome: .success(report),
                fresh: false,
                responseTime: asked.duration(to: clock.now),
                began: began
            )
        }
        do {
            let current: Session
            if let session {
                current = session
            } else {
                current = Session(try await open(by: deadline))
                session = current
            }
            let asked = clock.now
            let report: HostReport
            if let known = current.known(at: asked) {
                report = try await driver.probe(current.connection, knowing: known, deadline: deadline)
                let isSame = report.incarnation == known.incarnation && report.address == known.address
                if !isSame { session?.remember(report, at: asked) }
            } else {
                report = try await driver.probe(current.connection, deadline: deadline)
                session?.remember(report, at: asked)
            }
            return Check(
                outcome: .success(report),
                fresh: fresh,
                responseTime: asked.duration(to: clock.now),
                began: began
            )
        } catch {
            var failure = driver.classify(error)
            if let broken = session {
                driver.close(broken.connection)
                session = nil
                // An old session that ends proves nothing of the server; the next attempt, at once, will.
                if !fresh && failure.kind != .timedOut && failure.kind != .local { failure.kind = .lost }
            }
            if failure.kind == .timedOut, clock.stall(since: began) > Self.toleratedStall {
                failure = HostFailure(.local, reason: "this process was stopped or starved during the check")
            }
            let wasHeard = failure.kind == .local ? answers() != answersSoFar : fresh && answers() != answersBefore
            return Check(
                outcome: .failure(failure),
                fresh: fresh,
                wasHeard: wasHeard,
                responseTime: began.duration(to: clock.now),
                began: began
            )
        }
    }
}

import CReactor
import Glibc
// SPDX-License-Identifier: Apache-2.0
import PosthouseBase
import Synchronization

// MARK: - The thread

extension EventLoop {
    func startThread() throws(ReactorError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        // The thread's reference; taken back at its start.
        let loop = Unmanaged.passRetained(self)
        let result = pthread_create(
            &thread,
            &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<EventLoop>.fromOpaque(argument).takeRetainedValue().runThread()
                return nil
            },
            loop.toOpaque()
        )
        guard result == 0 else {
            loop.release()
            throw ReactorError(errorNumber: result, operation: "pthread_create")
        }
    }

    private func runThread() {
        creactor_name_thread(name)
        creactor_set_thread_loop(Unmanaged.passUnretained(self).toOpaque())
        var run = LoopRun(loop: self)
        run.run()
    }
}

// MARK: - The turns

/// The loop's thread at work.
///
/// A turn: sleep or look; hand out socket events; run jobs; expire deadlines and timers. In this order, because a process
/// that was stopped, or a loop that was blocked, wakes to find answers in its sockets and deadlines passed, both at
/// once: what has arrived has arrived in time.
struct LoopRun: ~Copyable {
    private let loop: EventLoop

    /// What the kernel reports. Allocated here, freed with the run; only this thread touches it.
    private let events = UnsafeMutableBufferPointer<epoll_event>.allocate(capacity: 256)

    private var arrivals: ContiguousArray<(watch: SocketWatch, generation: UInt32, event: Readiness)> = []
    private var expiring: ContiguousArray<(watch: SocketWatch, wait: UInt32)> = []
    private var incoming: ContiguousArray<WorkItem> = []
    private var turnBegan: Ticks

    /// This turn began with a sleep, during which somebody may have rung.
    private var slept = false

    /// Rings that other threads have sent or are about to send.
    private var ringsOwed: UInt64 = 0

    /// Jobs per turn, so that a task that keeps itself busy does not keep sockets waiting.
    private static let jobsPerTurn = 128

    /// Jobs that still run on this thread when the loop ends.
    private static let lastJobs = 10_000

    init(loop: EventLoop) {
        self.loop = loop
        self.turnBegan = loop.clock.now()
    }

    deinit {
        events.deallocate()
    }

    mutating func run() {
        var isShuttingDown = false
        while !isShuttingDown {
            let mayHaveMore = sleep()
            // What is due is decided before the sockets are looked at once more, and ends after: nothing ends for being
            // late whose socket was not seen empty after its time.
            loop.collectDue(now: turnBegan, into: &expiring)
            let timersAreDue = loop.nextTimer.load(ordering: .acquiring) <= turnBegan
            if mayHaveMore || timersAreDue || !expiring.isEmpty { pollAgain() }
            isShuttingDown = collect()
            runJobs(atMost: Self.jobsPerTurn)
            for (watch, wait) in expiring { watch.expire(wait: wait) }
            expiring.removeAll(keepingCapacity: true)
            if timersAreDue { loop.fireTimers(now: turnBegan) }
        }
        end()
    }

    /// Waits for something to do, and hands out the events that ended the wait.
    ///
    /// - Returns: whether there may be more events than one call reports.
    private mutating func sleep() -> Bool {
        let count: Int
        if loop.queue.isEmpty, enterSleep() {
            // Whoever lowers `nextDue` from here on finds the loop asleep and rings.
            let due = loop.nextDue
            let now = loop.clock.now()
            noteTurnEnded(at: now)
            // What was due in the past when it was asked for does not make the loop late.
            let wake = max(due, now)
            loop.phase.store(LoopPhase.asleep(until: wake).bits, ordering: .releasing)
            let nanoseconds = wake == .max ? -1 : LoopClock.nanoseconds(wake - now)
            count = loop.poller.wait(events, nanoseconds: nanoseconds)
            beginTurn(plannedWake: wake)
        } else {
            count = loop.poller.wait(events, nanoseconds: 0)
            beginTurn(plannedWake: nil)
        }
        deliver(count)
        return count == events.count
    }

    /// Declares the loop asleep, unless somebody called since the turn began.
    private mutating func enterSleep() -> Bool {
        slept =
            loop.attention.compareExchange(
                expected: Attention.none,
                desired: Attention.asleep,
                ordering: .acquiringAndReleasing
            ).exchanged
        return slept
    }

    private mutating func beginTurn(plannedWake: Ticks?) {
        let now = loop.clock.now()
        if let plannedWake {
            if plannedWake < now, now - plannedWake > StallHistory.toleratedOversleep {
                loop.stalls.withLock { $0.record(from: plannedWake, to: now) }
            }
        } else {
            noteTurnEnded(at: now)
        }
        turnBegan = now
        loop.phase.store(LoopPhase.turn(began: now).bits, ordering: .releasing)
    }

    private func noteTurnEnded(at now: Ticks) {
        guard now - turnBegan > StallHistory.toleratedTurn else { return }
        loop.stalls.withLock { $0.record(from: turnBegan, to: now) }
    }
}

// MARK: - The parts of a turn

extension LoopRun {
    /// Events handed out per turn are at most this many full buffers; the rest waits behind the jobs.
    private static let buffersPerTurn = 16

    /// Looks once more, after the present that deadlines will be compared with.
    private mutating func pollAgain() {
        for _ in 0..<Self.buffersPerTurn {
            let count = loop.poller.wait(events, nanoseconds: 0)
            deliver(count)
            if count < events.count { return }
        }
    }

    private mutating func deliver(_ count: Int) {
        guard count > 0 else { return }
        loop.sockets.withLock { table in
            for event in events.prefix(count) {
                guard let (watch, generation) = table.watch(for: event.data.u64) else { continue }
                arrivals.append((watch, generation, Readiness(events: event.events)))
            }
        }
        for arrival in arrivals {
            arrival.watch.deliver(arrival.event, generation: arrival.generation, gate: loop.callbackGate)
        }
        arrivals.removeAll(keepingCapacity: true)
    }

    /// Takes over what other threads put down since the last turn.
    ///
    /// - Returns: whether somebody called for the end.
    private mutating func collect() -> Bool {
        let attention = loop.attention.exchange(Attention.none, ordering: .acquiringAndReleasing)
        defer { slept = false }
        guard attention == Attention.called else { return false }
        if slept { ringsOwed += 1 }
        let isShuttingDown = loop.mailbox.withLock { mailbox in
            mailbox.take(into: &incoming)
            return mailbox.isShuttingDown
        }
        for item in incoming { loop.queue.append(item) }
        incoming.removeAll(keepingCapacity: true)
        return isShuttingDown
    }

    private func runJobs(atMost limit: Int) {
        let executor = loop.asUnownedTaskExecutor()
        var left = limit
        while left > 0, let item = loop.queue.popFirst() {
            switch item {
            case .job(let job): job.runSynchronously(on: executor)
            case .closure(let body): body()
            }
            left -= 1
        }
    }

    /// Ends all waits and timers, runs what this sets free, and closes up.
    private mutating func end() {
        loop.endWaits()
        loop.endTimers()
        runJobs(atMost: Self.lastJobs)
        var left = loop.mailbox.withLock { $0.close() }
        while let item = loop.queue.popFirst() { left.append(item) }
        creactor_set_thread_loop(nil)
        for item in left { EventLoop.runElsewhere(item) }
        // A thread that found the loop asleep may still be about to ring. The number must not be somebody else's by then.
        loop.poller.awaitRings(ringsOwed)
        loop.poller.closeDescriptors()
        loop.phase.store(LoopPhase.asleep(until: .max).bits, ordering: .releasing)
        for waiter in loop.mailbox.withLock({ $0.finish() }) { waiter.resume() }
    }
}

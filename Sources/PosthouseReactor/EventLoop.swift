import CReactor
// SPDX-License-Identifier: Apache-2.0
import PosthouseBase
import Synchronization

/// One epoll thread: tells tasks when their sockets are ready, keeps timers, and runs tasks that prefer it.
///
/// ```swift
/// let loop = try EventLoop(name: "postgres")
/// let registration = try loop.register(socket)
/// try await registration.wait(for: .read, until: .now + .seconds(5))
/// ```
///
/// As a `TaskExecutor` it saves two thread switches per wait: a task that runs on the loop continues on the thread that
/// saw its socket become ready. The price is that code which blocks there stalls every socket of the loop.
///
/// A loop runs until ``shutdown()``; dropping the last reference does not stop it.
public final class EventLoop: TaskExecutor, Sendable {
    /// A number that no other loop of this process has, counted from zero. For affinity.
    public let index: Int

    /// The name of the thread; the system shows its first 15 bytes.
    public let name: String

    let clock = LoopClock()
    let poller: Poller

    /// The sockets. Held during epoll_ctl; never while a task is resumed or a callback runs.
    let sockets = Guarded(SocketTable())

    /// The timers. Never held while one fires.
    let timers = Guarded(TimerHeap())

    /// When the earliest timer is due. Written under the timers' lock, read by the loop before it sleeps.
    let nextTimer = Atomic<Ticks>(.max)

    /// Not later than the earliest deadline of any waiting task. See ``announce(deadline:)``.
    let nextDeadline = Atomic<Ticks>(.max)

    /// When the loop has to wake, if nothing happens before.
    var nextDue: Ticks {
        min(nextDeadline.load(ordering: .acquiring), nextTimer.load(ordering: .acquiring))
    }

    /// Work from other threads.
    let mailbox = Guarded(Mailbox())

    /// Work for this turn and the next ones; for the loop's own thread only.
    let queue = WorkQueue()

    /// Whether the loop has to be woken. See ``notify()``.
    let attention = Atomic<UInt8>(Attention.none)

    /// Held while an idle callback runs; whoever must not overlap with one passes through it.
    let callbackGate = Guarded(())

    let phase = Atomic<Int64>(LoopPhase.turn(began: 0).bits)
    let stalls = Guarded(StallHistory())

    private static let loopsMade = Atomic<Int>(0)

    /// Makes a loop and starts its thread.
    ///
    /// The first loop of a process also makes the process ignore SIGPIPE, unless the program has its own way with it.
    ///
    /// - Parameter name: of the thread, for debuggers and `top -H`.
    /// - Throws: `tooManyOpenFiles` or `outOfResources` when the system refuses the two descriptors or the thread.
    public init(name: String) throws(ReactorError) {
        creactor_ignore_sigpipe()
        self.poller = try Poller()
        self.index = Self.loopsMade.wrappingAdd(1, ordering: .relaxed).oldValue
        self.name = name
        do {
            try startThread()
        } catch {
            poller.closeDescriptors()
            throw error
        }
    }

    /// The loop on whose thread the caller runs; nil on any other thread. Costs a thread-local read.
    public static var current: EventLoop? {
        guard let pointer = creactor_thread_loop() else { return nil }
        // The thread owns a reference to its loop for as long as the pointer is set.
        return Unmanaged<EventLoop>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// The number of the loop on whose thread the caller runs, without touching the loop; nil on any other thread.
    package static var currentIndex: Int? {
        guard let pointer = creactor_thread_loop() else { return nil }
        return Unmanaged<EventLoop>.fromOpaque(pointer)._withUnsafeGuaranteedRef { $0.index }
    }

    /// The caller runs on this loop's thread.
    @inline(__always)
    var isCurrent: Bool {
        creactor_thread_loop() == Unmanaged.passUnretained(self).toOpaque()
    }

    /// What the loop holds at this moment. Takes locks and looks at each registration; for tests and diagnosis.
    public var statistics: LoopStatistics {
        let watches = sockets.withLock { $0.watches }
        return LoopStatistics(
            registrations: watches.count,
            waitingContinuations: watches.count { $0.state.isWaiting },
            pendingTimers: timers.withLock { $0.count },
            queuedJobs: mailbox.withLock { $0.count } + queue.length.load(ordering: .relaxed)
        )
    }

    /// The longest stretch after `since` during which the loop is known to have run late: the process was stopped or
    /// starved, or code on the loop blocked it. Zero if there is none.
    ///
    /// Known are: turns of more than 50 ms, and sleeps that lasted more than 20 ms longer than planned. Of a sleep without
    /// a plan (no timer, no deadline) nothing can be known, and of one that an event ended, nothing either. Stretches that
    /// go on at this moment count. The last 32 are remembered.
    ///
    /// - Returns: the part of the stretch that lies after `since`.
    public func stall(since: ContinuousClock.Instant) -> Duration {
        let since = clock.ticks(Moment(since))
        // In this order: if this thread is held up in between, it must not blame the loop; and the loop records a stretch
        // before its phase changes, so that one that ends just now is seen here or there.
        let now = clock.now()
        let present = LoopPhase(bits: phase.load(ordering: .acquiring)).stall(since: since, now: now)
        let past = stalls.withLock { $0.longest(since: since) }
        return LoopClock.duration(max(present, past))
    }
}

// MARK: - Work

extension EventLoop {
    /// Runs a job of the Swift runtime on the loop's thread, in the order of arrival. Any thread may call this.
    ///
    /// After ``shutdown()`` jobs run on the global executor instead, so that tasks which prefer this loop still end.
    public func enqueue(_ job: consuming ExecutorJob) {
        submit(.job(UnownedJob(job)))
    }

    /// Runs a closure on the loop's thread, in the order of arrival. Any thread may call this.
    ///
    /// After ``shutdown()`` it runs on the global executor instead.
    public func execute(_ body: @escaping @Sendable () -> Void) {
        submit(.closure(body))
    }

    private func submit(_ item: WorkItem) {
        if isCurrent {
            queue.append(item)
        } else if mailbox.withLock({ $0.post(item) }) {
            notify()
        } else {
            Self.runElsewhere(item)
        }
    }

    /// Runs an item that no loop will run any more.
    static func runElsewhere(_ item: WorkItem) {
        switch item {
        case .job(let job): globalConcurrentExecutor.enqueue(job)
        case .closure(let body): Task.detached { body() }
        }
    }
}

// MARK: - The end

extension EventLoop {
    /// Ends the loop, in order: waiting and sleeping tasks get `shutDown`, scheduled actions are dropped, jobs run, the
    /// thread ends and the descriptors are closed. Registrations need not be given up before or after.
    ///
    /// Returns when all this is done; at once if it was done before. Cancelling the calling task does not hurry it.
    public func shutdown() async {
        await withUnsafeContinuation { continuation in
            if mailbox.withLock({ $0.requestShutdown(continuation) }) {
                notify()
            } else {
                continuation.resume()
            }
        }
    }
}

// MARK: - Sleep and wake

/// The values of ``EventLoop/attention``.
enum Attention {
    /// The loop is awake, and nobody called since its turn began.
    static let none: UInt8 = 0
    /// The loop sleeps, or is about to.
    static let asleep: UInt8 = 1
    /// Somebody called since the loop's turn began.
    static let called: UInt8 = 2
}

extension EventLoop {
    /// Makes the loop look again at what was changed before this call, waking it if it sleeps.
    ///
    /// One word, changed by both sides with atomic exchanges only, so no wake-up is lost: the loop goes to sleep with
    /// *none → asleep*, which fails if this call's *called* came first; else this call finds *asleep*, and rings. Only
    /// the one who finds it rings: one system call per sleep at most, none while the loop is awake.
    func notify() {
        if attention.exchange(Attention.called, ordering: .acquiringAndReleasing) == Attention.asleep {
            poller.ring()
        }
    }

    /// Makes sure that the loop wakes for a deadline that was published in a watch before.
    ///
    /// There is no timer per wait. The loop wakes at `nextDeadline`, looks at all waits, and plans for the earliest that
    /// is left; a wait has to call only if it is due earlier than planned, which is rare. Sequential consistency closes
    /// the race with the look: the loop stores `.max` and then reads the words; a wait swaps its word and then reads
    /// `nextDeadline`. Either the loop sees the wait, or the wait sees the `.max` (or what came after it) and lowers it.
    func announce(deadline: Ticks) {
        var planned = nextDeadline.load(ordering: .sequentiallyConsistent)
        while deadline < planned {
            let (exchanged, found) = nextDeadline.weakCompareExchange(
                expected: planned,
                desired: deadline,
                ordering: .sequentiallyConsistent
            )
            if exchanged {
                if !isCurrent { notify() }
                return
            }
            planned = found
        }
    }
}

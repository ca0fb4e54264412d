// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
public import PosthouseCluster
import PosthousePool
import Synchronization

/// Time that stands still while anything is ready to run, and then jumps to whatever is due next.
///
/// The pool's own tasks, the monitors and, if they are started there, the users' tasks all run on its ``executor``.
public final class SimulatedTime: ClusterClock {
    /// One sleeping task. Its number in the table and which use of that number it is are its token.
    fileprivate struct Sleeper {
        enum Phase {
            case free
            /// It has a place, and does not wait yet.
            case arriving
            case cancelled
            case waiting(UnsafeContinuation<Bool, Never>)
        }

        var phase = Phase.free
        var use: UInt32 = 0
    }

    fileprivate struct State {
        var agenda: Agenda
        var sleepers: [Sleeper] = []
        var free: [Int] = []
        /// How many entries of the agenda are of sleepers that were woken.
        var obsolete = 0
        var pauses: [(end: Int64, length: Int64)] = []
    }

    /// Instants count from here, so that they do not depend on when the process began.
    private static let origin = Moment.seconds(1_000_000)

    private let nanoseconds = Atomic<Int64>(0)
    private let state: Guarded<State>
    private let tasks: SimulatedExecutor

    init(seed: UInt64, executor: SimulatedExecutor) {
        state = Guarded(State(agenda: Agenda(seed: seed)))
        tasks = executor
    }

    /// Where all tasks of the simulation run.
    public var executor: (any TaskExecutor)? { tasks }

    /// The same.
    public var workExecutor: (any TaskExecutor)? { tasks }

    /// The virtual time.
    public var now: ContinuousClock.Instant { (Self.origin + .nanoseconds(elapsed)).instant }

    /// Nanoseconds since the simulation began.
    var elapsed: Int64 { nanoseconds.load(ordering: .relaxed) }

    /// When that is, in nanoseconds since the simulation began; rounded up.
    static func nanoseconds(of instant: ContinuousClock.Instant) -> Int64 {
        let (seconds, attoseconds) = (Moment(instant) - origin).components
        let whole = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if whole.overflow { return seconds < 0 ? .min : .max / 2 }
        return whole.partialValue + (attoseconds + 999_999_999) / 1_000_000_000
    }

    /// The longest time that the process was away since then.
    public func stall(since start: ContinuousClock.Instant) -> Duration {
        let start = Self.nanoseconds(of: start)
        let longest = state.withLock { state in
            state.pauses.reduce(0) { $1.end <= start ? $0 : max($0, min($1.length, $1.end - start)) }
        }
        return .nanoseconds(longest)
    }

    /// How long the process was away since then, all times together.
    func absence(since start: ContinuousClock.Instant) -> Duration {
        let start = Self.nanoseconds(of: start)
        let sum = state.withLock { state in
            state.pauses.reduce(0) { $1.end <= start ? $0 : $0 + min($1.length, $1.end - start) }
        }
        return .nanoseconds(sum)
    }

    /// Suspends until that time.
    ///
    /// - Throws: `CancellationError`.
    public func sleep(until deadline: ContinuousClock.Instant) async throws {
        let end = Self.nanoseconds(of: deadline)
        if end <= elapsed {
            try Task.checkCancellation()
            return
        }
        let token = reserve()
        let isOver = await withTaskCancellationHandler {
            await withUnsafeContinuation { wait(token, until: end, $0) }
        } onCancel: {
            wake(token, isOver: false)
        }
        if !isOver { throw CancellationError() }
    }

    // MARK: - Sleepers

    private func reserve() -> UInt64 {
        state.withLock { state in
            let index: Int
            if let free = state.free.popLast() {
                index = free
            } else {
                index = state.sleepers.count
                state.sleepers.append(Sleeper())
            }
            state.sleepers[index].phase = .arriving
            state.sleepers[index].use &+= 1
            return UInt64(index) << 32 | UInt64(state.sleepers[index].use)
        }
    }

    private func wait(_ token: UInt64, until end: Int64, _ continuation: UnsafeContinuation<Bool, Never>) {
        let isCancelled = state.withLock { state in
            let index = Int(token >> 32)
            if case .cancelled = state.sleepers[index].phase {
                state.sleepers[index].phase = .free
                state.free.append(index)
                return true
            }
            state.sleepers[index].phase = .waiting(continuation)
            state.agenda.add(self, token: token, at: end)
            return false
        }
        if isCancelled { continuation.resume(returning: false) }
    }

    private func wake(_ token: UInt64, isOver: Bool) {
        let continuation: UnsafeContinuation<Bool, Never>? = state.withLock { state in
            let index = Int(token >> 32)
            guard state.sleepers[index].use == UInt32(truncatingIfNeeded: token) else {
                if isOver { state.obsolete -= 1 }
                return nil
            }
            switch state.sleepers[index].phase {
            case .arriving:
                state.sleepers[index].phase = .cancelled
                return nil
            case .waiting(let continuation):
                state.sleepers[index].phase = .free
                state.sleepers[index].use &+= 1
                state.free.append(index)
                if !isOver { state.forgetObsolete(time: self) }
                return continuation
            case .free, .cancelled: return nil
            }
        }
        continuation?.resume(returning: isOver)
    }

    /// How many tasks sleep.
    var sleeping: Int { state.withLock { $0.sleepers.count - $0.free.count } }

    // MARK: - The agenda

    /// Has the errand run at that time, or now if it has passed.
    func add(_ errand: any Errand, token: UInt64, at: Int64) {
        state.withLock { $0.agenda.add(errand, token: token, at: max(at, elapsed)) }
    }

    /// Jumps to what is due next, and runs it; `false` if nothing is, or not before `end`.
    func runNext(until end: Int64) -> Bool {
        let next: Agenda.Entry? = state.withLock { state in
            guard let next = state.agenda.next, next.at <= end else { return nil }
            return state.agenda.removeNext()
        }
        guard let next else { return false }
        if next.at > elapsed { nanoseconds.store(next.at, ordering: .relaxed) }
        next.errand.run(next.token)
        return true
    }

    /// The process is away for so long: what becomes due meanwhile finds it later.
    func pause(for length: Int64) {
        let end = elapsed + length
        nanoseconds.store(end, ordering: .relaxed)
        state.withLock { $0.pauses.append((end, length)) }
    }
}

extension SimulatedTime: Errand {
    func run(_ token: UInt64) { wake(token, isOver: true) }
}

extension SimulatedTime.State {
    /// Long sleeps that were cancelled would fill the agenda.
    fileprivate mutating func forgetObsolete(time: SimulatedTime) {
        obsolete += 1
        guard obsolete > 256, obsolete * 2 > agenda.count else { return }
        let sleepers = sleepers
        agenda.remove { entry in
            entry.errand === time && sleepers[Int(entry.token >> 32)].use != UInt32(truncatingIfNeeded: entry.token)
        }
        obsolete = 0
    }
}

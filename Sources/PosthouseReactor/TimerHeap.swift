// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// A timer of a loop.
final class LoopTimer: Sendable {
    /// What to do when the time has come.
    enum Payload: Sendable {
        case action(@Sendable () -> Void)
        case sleeper(UnsafeContinuation<Void, Never>)
    }

    fileprivate enum State {
        case new
        case pending(Payload)
        /// Cancelled before it was inserted.
        case cancelled
        /// Fired, cancelled or dropped.
        case finished
    }

    let due: Ticks

    // These are touched by the methods of `TimerHeap` only. A timer is used with one heap, which lives under a lock.
    fileprivate nonisolated(unsafe) var state = State.new
    fileprivate nonisolated(unsafe) var index = 0

    /// How the sleep ended. Like the outcome of a ``SocketWatch``.
    private let outcome = Atomic<SleepOutcome>(.elapsed)

    init(due: Ticks) {
        self.due = due
    }

    /// Resumes a sleeping task. Called by the one who took its continuation out of the heap.
    func resume(_ sleeper: UnsafeContinuation<Void, Never>, _ outcome: SleepOutcome) {
        self.outcome.store(outcome, ordering: .releasing)
        sleeper.resume()
    }

    /// How the sleep ended, for the task that slept.
    var sleepOutcome: SleepOutcome { outcome.load(ordering: .acquiring) }
}

/// How a sleep ended.
enum SleepOutcome: UInt8, Sendable, AtomicRepresentable {
    case elapsed
    case cancelled
    case shutDown
}

/// A binary heap of timers, earliest first, each of which knows its place so that it can leave at any time.
struct TimerHeap {
    private var timers: ContiguousArray<LoopTimer> = []
    private var isClosed = false

    var count: Int { timers.count }

    /// When the earliest timer is due; `.max` if there is none.
    var nextDue: Ticks { timers.first?.due ?? .max }

    /// What became of an attempt to add a timer.
    enum Insertion {
        case pending
        case cancelled
        case closed
    }

    mutating func insert(_ timer: LoopTimer, _ payload: LoopTimer.Payload) -> Insertion {
        if case .cancelled = timer.state { return .cancelled }
        guard !isClosed else { return .closed }
        timer.state = .pending(payload)
        timer.index = timers.count
        timers.append(timer)
        siftUp(timer.index)
        return .pending
    }

    /// Takes a timer out before it fires.
    ///
    /// - Returns: what it would have done; nil if it fired already, or was not inserted (and never will be).
    mutating func cancel(_ timer: LoopTimer) -> LoopTimer.Payload? {
        switch timer.state {
        case .new:
            timer.state = .cancelled
            return nil
        case .cancelled, .finished:
            return nil
        case .pending(let payload):
            remove(timer)
            return payload
        }
    }

    /// Takes the earliest timer if it is due.
    mutating func popDue(now: Ticks) -> (timer: LoopTimer, payload: LoopTimer.Payload)? {
        guard let first = timers.first, first.due <= now else { return nil }
        guard case .pending(let payload) = first.state else { return nil }
        remove(first)
        return (first, payload)
    }

    /// Takes all timers and refuses new ones.
    mutating func close() -> [(timer: LoopTimer, payload: LoopTimer.Payload)] {
        isClosed = true
        var taken: [(timer: LoopTimer, payload: LoopTimer.Payload)] = []
        for timer in timers {
            if case .pending(let payload) = timer.state { taken.append((timer, payload)) }
            timer.state = .finished
        }
        timers = []
        return taken
    }

    private mutating func remove(_ timer: LoopTimer) {
        timer.state = .finished
        let last = timers.removeLast()
        guard last !== timer else { return }
        last.index = timer.index
        timers[last.index] = last
        siftUp(last.index)
        siftDown(last.index)
    }

    private mutating func exchange(_ first: Int, _ second: Int) {
        timers.swapAt(first, second)
        timers[first].index = first
        timers[second].index = second
    }

    private mutating func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            guard timers[index].due < timers[parent].due else { return }
            exchange(index, parent)
            index = parent
        }
    }

    private mutating func siftDown(_ start: Int) {
        var index = start
        while true {
            var earliest = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < timers.count && timers[child].due < timers[earliest].due {
                earliest = child
            }
            guard earliest != index else { return }
            exchange(index, earliest)
            index = earliest
        }
    }
}

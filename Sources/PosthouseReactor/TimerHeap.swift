// SPDX-License-Identifier: Apache-2.0

/// A timer of a loop. All its fields but `due` live under the lock of the heap it belongs to.
final class LoopTimer: Sendable {
    enum Payload: Sendable {
        case action(@Sendable () -> Void)
        case sleeper(UnsafeContinuation<SleepOutcome, Never>)
    }

    enum State {
        /// Not in the heap yet.
        case new
        /// At this place of the heap.
        case pending(index: Int, Payload)
        /// Cancelled before it was in the heap.
        case cancelled
        /// Fired, cancelled or dropped.
        case finished
    }

    let due: Ticks

    /// Only touched by methods of ``TimerHeap``, of which each loop has one, under its lock.
    fileprivate nonisolated(unsafe) var state = State.new

    init(due: Ticks) {
        self.due = due
    }
}

/// How a sleep ended.
enum SleepOutcome: Sendable {
    case elapsed
    case cancelled
    case shutDown
}

/// A binary heap of timers, earliest first, each of which knows its place so that it can leave at any time.
struct TimerHeap {
    private var timers: ContiguousArray<LoopTimer> = []
    private(set) var isClosed = false

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
        timers.append(timer)
        timer.state = .pending(index: timers.count - 1, payload)
        siftUp(timers.count - 1)
        return .pending
    }

    /// Takes a timer out before it fires.
    ///
    /// - Returns: what it would have done; nil if it fired already, or was not in the heap.
    mutating func cancel(_ timer: LoopTimer) -> LoopTimer.Payload? {
        switch timer.state {
        case .new:
            timer.state = .cancelled
            return nil
        case .cancelled, .finished:
            return nil
        case .pending(let index, let payload):
            remove(at: index)
            return payload
        }
    }

    /// Takes the earliest timer if it is due.
    mutating func popDue(now: Ticks) -> LoopTimer.Payload? {
        guard let first = timers.first, first.due <= now, case .pending(_, let payload) = first.state else {
            return nil
        }
        remove(at: 0)
        return payload
    }

    /// Takes all timers and refuses new ones.
    mutating func close() -> [LoopTimer.Payload] {
        isClosed = true
        var payloads: [LoopTimer.Payload] = []
        for timer in timers {
            if case .pending(_, let payload) = timer.state { payloads.append(payload) }
            timer.state = .finished
        }
        timers = []
        return payloads
    }

    private mutating func remove(at index: Int) {
        let last = timers.count - 1
        exchange(index, last)
        timers.removeLast().state = .finished
        guard index < last else { return }
        siftUp(index)
        siftDown(index)
    }

    private mutating func exchange(_ a: Int, _ b: Int) {
        guard a != b else { return }
        timers.swapAt(a, b)
        place(a)
        place(b)
    }

    private func place(_ index: Int) {
        if case .pending(_, let payload) = timers[index].state {
            timers[index].state = .pending(index: index, payload)
        }
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

// SPDX-License-Identifier: Apache-2.0
import PosthouseBase
import Synchronization

/// Stands for a scheduled action, to cancel it.
public struct TimerToken: Sendable {
    fileprivate let loop: EventLoop
    fileprivate let timer: LoopTimer
}

extension EventLoop {
    /// Suspends until a moment, by the loop's own timers: to the kernel's timer slack, independent of the default
    /// executor's load (which matters when the task itself runs on a loop).
    ///
    /// - Throws: `CancellationError` when the task is cancelled; ``ReactorError`` `shutDown` when the loop ends.
    public func sleep(until instant: ContinuousClock.Instant) async throws {
        let timer = makeTimer(instant)
        await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                switch insert(timer, .sleeper(continuation)) {
                case .pending: break
                case .cancelled: timer.resume(continuation, .cancelled)
                case .closed: timer.resume(continuation, .shutDown)
                }
            }
        } onCancel: {
            if case .sleeper(let continuation) = remove(timer) { timer.resume(continuation, .cancelled) }
        }
        switch timer.sleepOutcome {
        case .elapsed: return
        case .cancelled: throw CancellationError()
        case .shutDown: throw ReactorError(.shutDown, operation: "sleep")
        }
    }

    /// Runs an action on the loop's thread at a moment, or as soon as possible if it has passed.
    ///
    /// What sockets hold at that moment is handed out first. After ``shutdown()`` actions are dropped without running.
    @discardableResult
    public func schedule(
        at instant: ContinuousClock.Instant,
        _ action: @escaping @Sendable () -> Void
    ) -> TimerToken {
        let timer = makeTimer(instant)
        _ = insert(timer, .action(action))
        return TimerToken(loop: self, timer: timer)
    }

    /// Takes a scheduled action back; nothing if it ran already. When called from another thread than the loop's, the
    /// action may be running as this returns.
    public func cancel(_ token: TimerToken) {
        _ = token.loop.remove(token.timer)
    }

    /// A timer for the past is due now, behind those that were due before: one that sets itself again and again would
    /// otherwise stay in front of all others.
    private func makeTimer(_ instant: ContinuousClock.Instant) -> LoopTimer {
        LoopTimer(due: max(clock.deadline(Moment(instant)), clock.now()))
    }

    private func insert(_ timer: LoopTimer, _ payload: LoopTimer.Payload) -> TimerHeap.Insertion {
        let (insertion, isEarliest) = timers.withLock { heap in
            let insertion = heap.insert(timer, payload)
            return (insertion, updateNextTimer(heap))
        }
        if isEarliest, !isCurrent { notify() }
        return insertion
    }

    private func remove(_ timer: LoopTimer) -> LoopTimer.Payload? {
        timers.withLock { heap in
            let payload = heap.cancel(timer)
            // A later wake-up needs no call: the loop wakes once in vain.
            updateNextTimer(heap)
            return payload
        }
    }

    /// - Returns: whether the loop has to wake earlier than it knew.
    @discardableResult
    private func updateNextTimer(_ heap: borrowing TimerHeap) -> Bool {
        let next = heap.nextDue
        let known = nextTimer.load(ordering: .relaxed)
        if next != known { nextTimer.store(next, ordering: .releasing) }
        return next < known
    }

    /// Fires what is due, one at a time, so that one action can still cancel another. On the loop's thread only.
    ///
    /// Ends, whatever the actions schedule: that is due after `now`.
    func fireTimers(now: Ticks) {
        while true {
            let next = timers.withLock { heap in
                let next = heap.popDue(now: now)
                updateNextTimer(heap)
                return next
            }
            guard let (timer, payload) = next else { return }
            switch payload {
            case .action(let action): action()
            case .sleeper(let continuation): timer.resume(continuation, .elapsed)
            }
        }
    }

    /// Ends all timers. On the loop's thread only.
    func endTimers() {
        let taken = timers.withLock { heap in
            let taken = heap.close()
            updateNextTimer(heap)
            return taken
        }
        for case (let timer, .sleeper(let continuation)) in taken { timer.resume(continuation, .shutDown) }
    }
}

// SPDX-License-Identifier: Apache-2.0
import PosthouseBase
import Synchronization

/// The shared state of one registration: the loop's table holds it, and so does the handle users have.
///
/// Every method is one swap of the state word (see ``RegistrationWord``) followed by the action it asks for. Tasks are
/// resumed outside any lock.
final class SocketWatch: Sendable {
    typealias Continuation = UnsafeContinuation<Void, Never>

    /// The place in the loop's table.
    let slot: Int

    private let hasCallback: Bool

    /// Taken out when the registration ends, so that what it holds (a connection, which holds the registration) is let go.
    private let idleCallback: Guarded<IdleCallback?>

    /// A function that is a generic type's value itself is wrapped anew each time that it is looked at in place, and what
    /// is written back is the wrapping: after some 100,000 looks a call of it overflows the stack. In a struct it is not.
    private struct IdleCallback: Sendable {
        let run: @Sendable (Readiness) -> Void
    }

    private let word: Atomic<UInt64>

    /// The deadline of the wait in progress. Stored before the wait is published, so whoever sees the wait number sees it.
    private let deadline = Atomic<Ticks>(.max)

    /// The task that waits.
    ///
    /// Written in phase *arming* by the task that holds it, read by the one whose swap claimed the wait, in phase
    /// *returning*; the next arming comes after that task was resumed. So no two accesses overlap. Unsafe, because a
    /// checked continuation allocates, once per query; that it is resumed exactly once is the word's business.
    private nonisolated(unsafe) var continuation: Continuation?

    /// How the last wait ended.
    ///
    /// Stored (releasing) right before the task is resumed, loaded (acquiring) by the task right after. Not the
    /// continuation's value, because a task that is resumed before it is quite suspended gets that by a way that
    /// ThreadSanitizer does not see.
    private let outcome = Atomic<WaitOutcome>(.ready)

    init(slot: Int, generation: UInt32, idleCallback: (@Sendable (Readiness) -> Void)?) {
        self.slot = slot
        self.hasCallback = idleCallback != nil
        self.idleCallback = Guarded(idleCallback.map(IdleCallback.init(run:)))
        self.word = Atomic(RegistrationWord(generation: generation).bits)
    }

    /// The word at this moment.
    var state: RegistrationWord {
        RegistrationWord(bits: word.load(ordering: .acquiring))
    }

    @inline(__always)
    private func swap(_ old: inout RegistrationWord, _ new: RegistrationWord) -> Bool {
        let (exchanged, found) = word.weakCompareExchange(
            expected: old.bits,
            desired: new.bits,
            ordering: .sequentiallyConsistent
        )
        if !exchanged { old = RegistrationWord(bits: found) }
        return exchanged
    }

    private func resumeClaimed(_ outcome: WaitOutcome) {
        let claimed = continuation
        self.outcome.store(outcome, ordering: .releasing)
        claimed?.resume()
    }
}

// MARK: - The waiting task

extension SocketWatch {
    /// Reserves the right to wait, or says why not to.
    func arm(for interest: Readiness) -> RegistrationWord.Arming {
        var old = state
        while true {
            let arming = old.arming(for: interest)
            switch arming {
            case .refused(_, let next):
                if next == old || swap(&old, next) { return arming }
            case .ready(let next), .armed(let next):
                if swap(&old, next) { return arming }
            }
        }
    }

    /// Stores the armed task and lets it be found; resumes it at once if something happened since it armed.
    ///
    /// - Returns: whether it was published, so that its deadline has to be announced to the loop.
    func publish(_ continuation: Continuation, deadline: Ticks) -> Bool {
        self.continuation = continuation
        self.deadline.store(deadline, ordering: .relaxed)
        var old = state
        while true {
            switch old.publishing() {
            case .suspended(let next):
                if swap(&old, next) { return true }
            case .ended(let outcome, let next):
                guard swap(&old, next) else { continue }
                self.outcome.store(outcome, ordering: .releasing)
                continuation.resume()
                return false
            }
        }
    }

    /// The armed task is back.
    ///
    /// - Returns: how its wait ended.
    func leave() -> WaitOutcome {
        let ended = outcome.load(ordering: .acquiring)
        word.bitwiseAnd(RegistrationWord.leaving, ordering: .acquiringAndReleasing)
        return ended
    }

    /// Takes everything recorded.
    func takeReady() -> Readiness {
        var old = state
        while !old.ready.isEmpty {
            let taken = old.ready
            if swap(&old, old.takingReady()) { return taken }
        }
        return []
    }

    /// The socket is found to be gone, by the armed task itself.
    func noteHangup() {
        var old = state
        while !swap(&old, old.recordingHangup()) {}
    }

    /// Remembers what the kernel was asked for. Called under the table's lock only.
    func noteWatchingWrites(_ watches: Bool) {
        var old = state
        while !swap(&old, old.watchingWrites(watches)) {}
    }
}

// MARK: - What happens to it

extension SocketWatch {
    /// The kernel reported an event for the socket of that generation. On the loop's thread only.
    ///
    /// - Parameter gate: held while the idle callback runs, so that ``close(_:)``'s caller can wait for its end.
    func deliver(_ event: Readiness, generation: UInt32, gate: borrowing Guarded<Void>) {
        var old = state
        while true {
            switch old.delivering(event, generation: generation, hasCallback: hasCallback) {
            case .dropped:
                return
            case .recorded(let next):
                if swap(&old, next) { return }
            case .claimed(let next):
                if swap(&old, next) { return resumeClaimed(.ready) }
            case .idle(let next):
                let called = gate.withLock { _ in
                    guard swap(&old, next) else { return false }
                    let callback = idleCallback.withLock { $0 }
                    callback?.run(event)
                    var current = state
                    while !swap(&current, current.callbackReturning()) {}
                    return true
                }
                if called { return }
            }
        }
    }

    /// The task of that wait was cancelled.
    func cancel(wait number: UInt32) {
        end(.cancelled) { $0.cancelling(wait: number) }
    }

    /// The wait in progress and its deadline; nil if nobody waits.
    func deadlineOfWait() -> (number: UInt32, deadline: Ticks)? {
        // Sequentially consistent: see EventLoop.announce(deadline:).
        let seen = RegistrationWord(bits: word.load(ordering: .sequentiallyConsistent))
        guard seen.isWaiting else { return nil }
        // If this is already the deadline of a newer wait, then that one announces itself, and ending this one fails.
        return (seen.waitNumber, deadline.load(ordering: .relaxed))
    }

    /// The deadline of that wait has passed.
    func expire(wait number: UInt32) {
        end(.timedOut) { $0.expiring(wait: number) }
    }

    /// Makes the present or the next wait fail.
    func interrupt() {
        end(.interrupted) { $0.interrupting() }
    }

    /// Ends the registration and whoever waits.
    ///
    /// - Returns: whether the idle callback was running at that moment.
    func close(_ reason: RegistrationWord.Closing) -> Bool {
        // Let go of outside the lock: its end may run anything.
        let callback = idleCallback.withLock { $0.take() }
        defer { _ = callback }
        return end(reason == .shutDown ? .shutDown : .deregistered) { $0.closing(reason) }
    }

    /// The registration has a new socket from here on. Called under the table's lock only.
    ///
    /// - Returns: whether the idle callback was running at that moment.
    func replace(generation: UInt32) -> Bool {
        var old = state
        while !swap(&old, old.replacing(generation: generation)) {}
        return old.isCalling
    }

    @discardableResult
    @inline(__always)
    private func end(_ outcome: WaitOutcome, _ transition: (RegistrationWord) -> RegistrationWord.Ending) -> Bool {
        var old = state
        while true {
            switch transition(old) {
            case .none:
                return old.isCalling
            case .recorded(let next):
                if swap(&old, next) { return old.isCalling }
            case .claimed(let next):
                if swap(&old, next) {
                    let wasCalling = old.isCalling
                    resumeClaimed(outcome)
                    return wasCalling
                }
            }
        }
    }
}

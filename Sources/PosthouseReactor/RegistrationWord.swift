// SPDX-License-Identifier: Apache-2.0

/// The whole state of one socket registration in one atomic word, as a pure value: each method takes what happened and
/// answers with the next word and what to do. ``SocketWatch`` is the shell that swaps the words and resumes tasks.
///
/// ```
///              arm                publish               claim                   leave
///   vacant ──────────▶ arming ──────────────▶ waiting ──────────▶ returning ──────────▶ vacant
///                         │                                           ▲
///                         └──── publish finds that it is over ────────┘
/// ```
///
/// - *vacant*: nobody waits. Events are recorded in the ready bits, which stay until somebody takes them; an interrupt is
///   recorded, too.
/// - *arming*: one task has reserved the right to wait and has not stored its continuation yet. Whatever happens is only
///   recorded (the `cancelled` bit exists for this phase alone).
/// - *waiting*: continuation and deadline are stored. An event, a cancellation, the deadline, an interrupt or the end of
///   the registration each try to swap *waiting* for *returning*. The one whose swap succeeds has claimed the wait: it
///   alone reads the continuation and resumes it. All others find *returning* and leave.
/// - *returning*: the task was resumed and has not come back yet. It opens the place for the next one itself, so that
///   nobody stores a continuation while a claimer still reads the one before.
///
/// *Exactly once*: `waiting` is set by publish alone, and each publish is followed by exactly one successful claim. *No
/// lost event*: publish swaps against the very word that holds the ready bits; an event recorded before makes it end the
/// wait, an event after it finds *waiting*. In any phase but vacant a second task is refused with `alreadyWaiting`.
///
/// The wait number changes with each arming, so one who looked at an old wait (the deadline scan, a cancel handler) fails
/// its swap against a newer one. The generation changes with each replaced socket: a token the kernel reported for the
/// socket before does not match and is dropped. `closed` bits are final.
struct RegistrationWord: Equatable, Sendable {
    /// The word as stored: flags in bits 0-15, wait number in 16-39, generation in 40-63.
    private(set) var bits: UInt64

    private static let readyMask: UInt64 = 0b111  // Readiness, as it is
    private static let interestShift: UInt64 = 3  // the waiter's Readiness, read and write
    private static let interestMask: UInt64 = 0b11 << interestShift
    private static let arming: UInt64 = 1 << 5
    private static let waiting: UInt64 = 1 << 6
    private static let returning: UInt64 = 1 << 7
    private static let occupied = arming | waiting | returning
    private static let cancelled: UInt64 = 1 << 8
    private static let interrupted: UInt64 = 1 << 9
    private static let deregistered: UInt64 = 1 << 10
    private static let shutDown: UInt64 = 1 << 11
    private static let closed = deregistered | shutDown
    private static let calling: UInt64 = 1 << 12
    private static let watchesWriting: UInt64 = 1 << 13
    private static let waitShift: UInt64 = 16
    private static let waitMask: UInt64 = 0xFF_FFFF << waitShift
    private static let generationShift: UInt64 = 40

    /// The generations count modulo 2^24, as the tokens do.
    static let generationLimit: UInt32 = 1 << 24

    init(bits: UInt64) {
        self.bits = bits
    }

    init(generation: UInt32) {
        self.bits = UInt64(generation) << Self.generationShift
    }

    /// Events recorded that nobody took.
    var ready: Readiness { Readiness(rawValue: UInt8(bits & Self.readyMask)) }

    /// What the waiting (or arming) task waits for.
    var interest: Readiness { Readiness(rawValue: UInt8((bits & Self.interestMask) >> Self.interestShift)) }

    /// A task is suspended.
    var isWaiting: Bool { bits & Self.waiting != 0 }

    /// Some task has the right to wait, and nobody else.
    var isOccupied: Bool { bits & Self.occupied != 0 }

    /// An interrupt is recorded for the next wait.
    var isInterrupted: Bool { bits & Self.interrupted != 0 }

    /// The registration ended.
    var isClosed: Bool { bits & Self.closed != 0 }

    /// The idle callback runs on the loop's thread.
    var isCalling: Bool { bits & Self.calling != 0 }

    /// The kernel was asked to report when writing becomes possible.
    var isWatchingWrites: Bool { bits & Self.watchesWriting != 0 }

    /// Which wait this is, or was the last one.
    var waitNumber: UInt32 { UInt32((bits & Self.waitMask) >> Self.waitShift) }

    /// Which socket this is.
    var generation: UInt32 { UInt32(bits >> Self.generationShift) }
}

// MARK: - The waiting task

extension RegistrationWord {
    /// The answer to a task that wants to wait.
    enum Arming: Equatable {
        /// Not now or never; the word stays or, for a taken interrupt, changes.
        case refused(SocketWaitError, next: RegistrationWord)
        /// There is something already; no need to wait.
        case ready(next: RegistrationWord)
        /// vacant → arming.
        case armed(next: RegistrationWord)
    }

    /// A task wants to wait. Order of precedence: closed, occupied, interrupted, ready.
    func arming(for interest: Readiness) -> Arming {
        if bits & Self.shutDown != 0 { return .refused(.shutDown, next: self) }
        if bits & Self.deregistered != 0 { return .refused(.deregistered, next: self) }
        if isOccupied { return .refused(.alreadyWaiting, next: self) }
        var next = self
        if isInterrupted {
            next.bits &= ~Self.interrupted
            return .refused(.interrupted, next: next)
        }
        if !ready.isDisjoint(with: interest.union(.hangup)) {
            next.take(interest)
            return .ready(next: next)
        }
        let number = UInt64(waitNumber &+ 1) << Self.waitShift
        let wanted = UInt64(interest.rawValue) << Self.interestShift
        next.bits &= ~(Self.waitMask | Self.interestMask)
        next.bits |= Self.arming | (number & Self.waitMask) | (wanted & Self.interestMask)
        return .armed(next: next)
    }

    /// The answer to a task whose continuation is stored.
    enum Publication: Equatable {
        /// arming → waiting.
        case suspended(next: RegistrationWord)
        /// arming → returning: something happened meanwhile.
        case ended(WaitOutcome, next: RegistrationWord)
    }

    /// The armed task has stored its continuation.
    func publishing() -> Publication {
        var next = self
        next.bits &= ~(Self.arming | Self.cancelled)
        next.bits |= Self.returning
        if bits & Self.shutDown != 0 { return .ended(.shutDown, next: next) }
        if bits & Self.deregistered != 0 { return .ended(.deregistered, next: next) }
        if isInterrupted {
            next.bits &= ~Self.interrupted
            return .ended(.interrupted, next: next)
        }
        if !ready.isDisjoint(with: interest.union(.hangup)) {
            next.take(interest)
            return .ended(.ready, next: next)
        }
        if bits & Self.cancelled != 0 { return .ended(.cancelled, next: next) }
        next.bits &= ~Self.returning
        next.bits |= Self.waiting
        return .suspended(next: next)
    }

    /// The bits to keep when the resumed task is back: returning → vacant.
    static let leaving = ~returning

    /// Removes what a task that waited for `interest` is told of. A hangup set the other direction's bit too, so that
    /// one stays for whoever asks for it.
    private mutating func take(_ interest: Readiness) {
        bits &= ~(UInt64(interest.union(.hangup).rawValue) & Self.readyMask)
    }

    /// All recorded events are taken.
    func takingReady() -> RegistrationWord {
        RegistrationWord(bits: bits & ~Self.readyMask)
    }
}

// MARK: - What happens to it

extension RegistrationWord {
    /// What an event means.
    enum Delivery: Equatable {
        /// It belongs to a socket before, or the registration ended.
        case dropped
        /// Remembered; a waiter (if any) waits for something else.
        case recorded(next: RegistrationWord)
        /// Remembered, and the idle callback has to run: nobody waits.
        case idle(next: RegistrationWord)
        /// waiting → returning.
        case claimed(next: RegistrationWord)
    }

    /// The kernel reported an event.
    func delivering(_ event: Readiness, generation: UInt32, hasCallback: Bool) -> Delivery {
        guard !isClosed, self.generation == generation else { return .dropped }
        var next = self
        next.bits |= UInt64(event.rawValue) & Self.readyMask
        if isWaiting {
            guard !event.isDisjoint(with: interest.union(.hangup)) else { return .recorded(next: next) }
            next.take(interest)
            return .claimed(next: next.claimingWait())
        }
        guard hasCallback, bits & Self.arming == 0 else { return .recorded(next: next) }
        next.bits |= Self.calling
        return .idle(next: next)
    }

    /// The socket is found to be gone.
    func recordingHangup() -> RegistrationWord {
        RegistrationWord(bits: bits | Self.readyMask)
    }

    /// What an attempt to end a wait from outside came to.
    enum Ending: Equatable {
        /// Nothing to end.
        case none
        /// The next publish or arming will see it.
        case recorded(next: RegistrationWord)
        /// waiting → returning.
        case claimed(next: RegistrationWord)
    }

    /// The task of that wait was cancelled.
    func cancelling(wait number: UInt32) -> Ending {
        guard waitNumber == number else { return .none }
        if isWaiting { return .claimed(next: claimingWait()) }
        guard bits & Self.arming != 0 else { return .none }
        return .recorded(next: RegistrationWord(bits: bits | Self.cancelled))
    }

    /// The deadline of that wait passed.
    func expiring(wait number: UInt32) -> Ending {
        guard isWaiting, waitNumber == number else { return .none }
        return .claimed(next: claimingWait())
    }

    /// Somebody wants the present or the next wait to fail.
    func interrupting() -> Ending {
        if isClosed { return .none }
        if isWaiting { return .claimed(next: claimingWait()) }
        return .recorded(next: RegistrationWord(bits: bits | Self.interrupted))
    }

    /// Why a registration ends.
    enum Closing: Equatable {
        case deregistered
        case shutDown
    }

    /// The registration ends. The first reason stays.
    func closing(_ reason: Closing) -> Ending {
        if isClosed { return .none }
        var next = self
        next.bits |= reason == .shutDown ? Self.shutDown : Self.deregistered
        next.bits &= ~Self.readyMask
        return isWaiting ? .claimed(next: next.claimingWait()) : .recorded(next: next)
    }

    /// The socket was replaced: what was recorded of the old one is void. A waiter waits on, for the new one.
    func replacing(generation: UInt32) -> RegistrationWord {
        var next = RegistrationWord(bits: bits & ~Self.readyMask)
        next.bits &= (1 << Self.generationShift) - 1
        next.bits |= UInt64(generation) << Self.generationShift
        return next
    }

    /// The idle callback returned.
    func callbackReturning() -> RegistrationWord {
        RegistrationWord(bits: bits & ~Self.calling)
    }

    /// The kernel was told whether to report that writing is possible.
    func watchingWrites(_ watches: Bool) -> RegistrationWord {
        RegistrationWord(bits: watches ? bits | Self.watchesWriting : bits & ~Self.watchesWriting)
    }

    /// waiting → returning.
    private func claimingWait() -> RegistrationWord {
        RegistrationWord(bits: (bits & ~Self.waiting) | Self.returning)
    }
}

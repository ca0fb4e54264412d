// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// A connection's place, and which of the connections that lived there in turn.
struct SlotID: Hashable {
    let member: Int
    let index: Int
    let incarnation: UInt64
}

/// A request in the queue. The ticket tells it from later ones at the same index.
struct WaiterID: Hashable {
    let index: Int
    let ticket: UInt64
}

/// What the machine wants done, outside the lock.
enum Action: Equatable {
    /// The waiter has the slot's connection.
    case grant(WaiterID, SlotID)
    /// The waiter gets nothing.
    case fail(WaiterID, Refusal)
    /// Open a connection; report `connected` or `connectFailed`.
    case connect(SlotID)
    /// Cancel the connect; it is not wanted any more. Report its end all the same.
    case abandonConnect(SlotID, timedOut: Bool)
    /// Close the connection; then report `closed`.
    case close(SlotID, CloseReason)
    /// Forget the connection without closing it; then report `closed`.
    case drop(SlotID, CloseReason)
    /// Make the leased connection's work fail.
    case interrupt(SlotID, InterruptReason)
    /// Work on the connection; report `tended`.
    case tend(SlotID, Tending)
    /// Cancel that work. Report its end all the same.
    case cancelTending(SlotID, isLate: Bool)
    /// The connection is written off: whoever works on it closes it, should that end some day.
    case forget(SlotID)
    /// The leased connection must not be laid open when it comes back: the machine decides.
    case summon(SlotID)
    /// The idle connection is to be validated before it is handed out.
    case doubt(SlotID)
    /// The connection has been leased for at least so long, and is not given back.
    case leak(SlotID, held: Duration, at: Moment)
    /// Report `alarmRang` at this time, or earlier.
    case wake(Moment)
    /// Every permit of every member is void.
    case voidPermits
    /// Whoever waits for the close may go on.
    case finishClose(stillLeased: Int)
    /// Requests for the member are (not) refused at once from now on.
    case broken(Int)
    case repaired(Int)
    /// Tell the budget whether a place is wanted; report `permitGranted`.
    case wishPlace(PlaceWish, number: UInt64)
    /// So many places are free for others.
    case returnPlaces(Int)
    case burstStarted(Int)
    case burstStopped(Int)
    case limitReached(Int)
}

/// Why a waiter gets nothing.
enum Refusal: Equatable {
    /// Its deadline passed; `held` leases of this pool were taken by the same task.
    case timedOut(held: Int)
    case cancelled
    case closed
    /// The connect it asked for failed, or ran into its timeout.
    case connectFailed(SlotID)
    /// Connects to all members that could serve it have failed for too long; the last of them to this one.
    case unavailable(Int)
    /// It came while requests waited too long already, and was not served soon.
    case overloaded
    /// The only member that may serve it was removed.
    case removed(Int)
}

/// What the pool does with a connection that nobody has.
enum Tending: Equatable {
    /// It has been idle for a while: does it still work?
    case keepAlive
    /// It came back, and is brought into order for the next request.
    case recycle
}

/// What a strategy says of a connection.
enum Condition: Equatable {
    case usable
    /// Usable once it has been brought into order.
    case soiled
    /// Not to be handed out; still to be closed.
    case closed
    /// The same, and not because the strategy said that it is closed: it was found out by work on it, or a hook said so.
    case unfit
    /// Not even to be closed.
    case invalid(isCancellation: Bool)
}

/// A connection that was leased for a request and is not fit to be handed out. If it is usable nevertheless, it was fenced.
struct Reject: Equatable {
    let id: SlotID
    let condition: Condition
    /// Nobody has used the connection yet.
    let isFirstUse: Bool

    var isCancellation: Bool { condition == .invalid(isCancellation: true) }
}

/// What a request wants, as far as the choice of a member goes. Requests with the same demand wait in one line.
struct Demand: Hashable {
    var wants: ServiceClass
    var fallback: ServiceClass = []
    /// What is taken while nobody serves the fallback either.
    var further: ServiceOrder = []
    var member: Int?
    var filter: FilterID?
}

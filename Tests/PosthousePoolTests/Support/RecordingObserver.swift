// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// Writes down what a pool tells.
final class RecordingObserver: PoolObserver {
    enum Event: Equatable {
        case connected, connectFailed(String), closed(CloseReason), waited(Duration), timedOut
        case burstStarted, burstStopped, limitReached, returnError(String), dropped
        case used(Duration), unavailable, available, refused(PoolError.Code)
    }

    private let state = Guarded<[Event]>([])
    private let leaks = Guarded<(begun: [LeaseReport], ended: [LeaseReport])>(([], []))
    let wantsUses: Bool

    init(wantsUses: Bool = false) {
        self.wantsUses = wantsUses
    }

    var events: [Event] { state.withLock { $0 } }
    var uses: [Duration] { events.compactMap { if case .used(let duration) = $0 { duration } else { nil } } }
    var closes: [CloseReason] { events.compactMap { if case .closed(let reason) = $0 { reason } else { nil } } }
    var leaked: [LeaseReport] { leaks.withLock { $0.begun } }
    var endedLeaks: [LeaseReport] { leaks.withLock { $0.ended } }

    private func note(_ event: Event) { state.withLock { $0.append(event) } }

    func connected(_ member: PoolMember, after duration: Duration) { note(.connected) }
    func connectFailed(_ member: PoolMember, error: any Error, after duration: Duration) {
        note(.connectFailed("\(error)"))
    }
    func connectionClosed(_ member: PoolMember, reason: CloseReason) { note(.closed(reason)) }
    func waited(_ member: PoolMember, for duration: Duration) { note(.waited(duration)) }
    func timedOut(_ error: PoolError) { note(.timedOut) }
    func burstStarted(_ member: PoolMember) { note(.burstStarted) }
    func burstStopped(_ member: PoolMember) { note(.burstStopped) }
    func limitReached(_ member: PoolMember) { note(.limitReached) }
    func returnError(_ member: PoolMember, error: any Error) { note(.returnError("\(error)")) }
    func used(_ member: PoolMember, for duration: Duration) { note(.used(duration)) }
    func leaked(_ lease: LeaseReport) { leaks.withLock { $0.begun.append(lease) } }
    func leakEnded(_ lease: LeaseReport) { leaks.withLock { $0.ended.append(lease) } }
    func becameUnavailable(_ member: PoolMember) { note(.unavailable) }
    func becameAvailable(_ member: PoolMember) { note(.available) }
    func refused(_ error: PoolError) { note(.refused(error.code)) }
    func droppedWithoutClose(_ snapshot: PoolSnapshot) { note(.dropped) }
}

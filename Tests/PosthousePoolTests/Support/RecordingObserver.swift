// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// Writes down what a pool tells.
final class RecordingObserver: PoolObserver {
    enum Event: Equatable {
        case connected, connectFailed(String), closed(CloseReason), waited(Duration), timedOut
        case burstStarted, burstStopped, limitReached, returnError(String), dropped
    }

    private let state = Guarded<[Event]>([])

    var events: [Event] { state.withLock { $0 } }

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
    func droppedWithoutClose(_ snapshot: PoolSnapshot) { note(.dropped) }
}

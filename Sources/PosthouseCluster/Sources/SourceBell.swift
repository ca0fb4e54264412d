// SPDX-License-Identifier: Apache-2.0

import PosthouseBase
import PosthousePool

/// Between a cluster and the follower of its source: the cluster says when it hunts, the follower how it gets on.
final class SourceBell: Sendable {
    private struct State {
        var huntingSince: ContinuousClock.Instant?
        var status: SourceStatus?
    }

    let door = Doorbell()
    private let state: Guarded<State>

    /// A cluster hunts from the moment it is made.
    init(huntingSince: ContinuousClock.Instant) {
        state = Guarded(State(huntingSince: huntingSince))
    }

    var huntingSince: ContinuousClock.Instant? { state.withLock { $0.huntingSince } }

    /// `nil` while nobody follows a source.
    var status: SourceStatus? { state.withLock { $0.status } }

    func hunt(_ hunts: Bool, now: ContinuousClock.Instant) {
        state.withLock { $0.huntingSince = hunts ? now : nil }
        door.ring()
    }

    func note(_ status: SourceStatus) {
        state.withLock { $0.status = status }
    }

    func noteFailure(_ reason: String) {
        state.withLock { state in
            var status = state.status ?? SourceStatus()
            status.failures += 1
            status.lastFailure = reason
            state.status = status
        }
    }
}

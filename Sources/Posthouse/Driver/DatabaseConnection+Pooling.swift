// SPDX-License-Identifier: Apache-2.0

import PosthousePool
import PosthousePostgres
import PosthouseReactor

// How pools deal with connections, be it a cluster's or a lone one.

extension DatabaseConnection {
    /// What becomes of an idle connection where something arrived. For who has claimed it.
    func idleVerdict() -> IdleVerdict { processIdleInput() ? .keep : .evict }

    /// Shuts the connection down under whoever uses it.
    func interrupt(_ reason: InterruptReason) {
        interrupt(reason == .fenced ? InterruptionReason.fenced : InterruptionReason.terminated)
    }

    /// The connection's loop, counted from one: zero is no home.
    var affinity: Int { loop.index + 1 }

    /// The loop that the caller runs on, if it does.
    static var currentAffinity: Int { EventLoop.currentIndex.map { $0 + 1 } ?? 0 }
}

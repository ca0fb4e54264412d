// SPDX-License-Identifier: Apache-2.0

import Posthouse
import Synchronization

/// What a cluster told its subscribers.
final class EventLog: Sendable {
    private let seen = Mutex<[ClusterEvent]>([])
    private let task: Mutex<Task<Void, Never>?>

    init(of cluster: PostgresCluster) {
        task = Mutex(nil)
        let events = cluster.events
        let listening = Task { [weak self] in
            for await event in events { self?.seen.withLock { $0.append(event) } }
        }
        task.withLock { $0 = listening }
    }

    /// All events, when the cluster has been closed.
    var all: [ClusterEvent] {
        get async {
            await task.withLock { $0 }?.value
            return seen.withLock { $0 }
        }
    }

    /// Those that mean that a host was thrown out, or came in, or changed its role.
    var verdicts: [ClusterEvent] {
        get async {
            await all.filter { event in
                switch event.kind {
                case .suspected: false
                default: true
                }
            }
        }
    }
}

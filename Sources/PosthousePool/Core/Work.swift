// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// A task of the pool's own that may have to be cancelled. It is there before its task is, so that whoever cancels the work
/// means this one, and not what is done to the same connection before or after it.
final class Work: Sendable {
    private enum Phase {
        case planned
        case begun(Task<Void, Never>)
        case cancelled
    }

    private let phase = Guarded(Phase.planned)

    func begin(_ task: Task<Void, Never>) {
        let isWanted = phase.withLock { phase in
            if case .cancelled = phase { return false }
            phase = .begun(task)
            return true
        }
        if !isWanted { task.cancel() }
    }

    func cancel() {
        let task: Task<Void, Never>? = phase.withLock { phase in
            defer { phase = .cancelled }
            if case .begun(let task) = phase { return task }
            return nil
        }
        task?.cancel()
    }
}

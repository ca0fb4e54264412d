// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

/// A value that one task waits for and another brings: once, in either order.
final class Promise<Value: Sendable>: Sendable {
    #if DEBUG
        private typealias Continuation = CheckedContinuation<Value, Never>
    #else
        // Unsafe because it is cheaper; resumed exactly once, because whoever resumes it has moved `phase` on from `.awaited`,
        // which only `value()` sets, under the lock.
        private typealias Continuation = UnsafeContinuation<Value, Never>
    #endif

    private enum Phase {
        case open
        case awaited(Continuation)
        case kept(Value)
        case over
    }

    private let phase = Guarded(Phase.open)

    /// Brings the value. A second one is ignored.
    ///
    /// - Returns: Whether this is the one that counts.
    @discardableResult
    func keep(_ value: Value) -> Bool {
        let (continuation, counts): (Continuation?, Bool) = phase.withLock { phase in
            switch phase {
            case .open:
                phase = .kept(value)
                return (nil, true)
            case .awaited(let continuation):
                phase = .over
                return (continuation, true)
            case .kept, .over:
                return (nil, false)
            }
        }
        continuation?.resume(returning: value)
        return counts
    }

    /// Waits for the value. To be called once; cancellation does not end it, `keep` does.
    nonisolated(nonsending) func value() async -> Value {
        #if DEBUG
            await withCheckedContinuation { wait(with: $0) }
        #else
            await withUnsafeContinuation { wait(with: $0) }
        #endif
    }

    private func wait(with continuation: Continuation) {
        let kept: Value? = phase.withLock { phase in
            if case .kept(let value) = phase {
                phase = .over
                return value
            }
            phase = .awaited(continuation)
            return nil
        }
        if let kept { continuation.resume(returning: kept) }
    }
}

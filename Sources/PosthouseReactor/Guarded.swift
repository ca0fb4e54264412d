// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// A `Mutex` whose order ThreadSanitizer can see.
///
/// The contended path of the standard library's mutex is a futex in a library that is not instrumented, so the sanitizer
/// takes correct programs for racy. An acquiring load after the lock and a releasing store before the unlock say the same
/// once more, in terms it knows; on x86 they are two plain moves.
struct Guarded<Value: ~Copyable>: ~Copyable, Sendable {
    private let mutex: Mutex<Value>
    private let handedOver = Atomic<Bool>(false)

    init(_ value: consuming sending Value) {
        mutex = Mutex(value)
    }

    /// Runs the body with the lock held. Not recursive.
    borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try mutex.withLock { (value) throws(Failure) in
            _ = handedOver.load(ordering: .acquiring)
            defer { handedOver.store(true, ordering: .releasing) }
            return try body(&value)
        }
    }
}

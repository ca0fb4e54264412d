// SPDX-License-Identifier: Apache-2.0
public import Synchronization

/// A `Mutex` whose order ThreadSanitizer can see.
///
/// The contended path of the standard library's mutex is a futex in a library that is not instrumented, so the sanitizer
/// takes correct programs for racy. An acquiring load after the lock and a releasing store before the unlock say the same
/// once more, in terms it knows; on x86 they are two plain moves.
public struct Guarded<Value: ~Copyable>: ~Copyable, Sendable {
    @usableFromInline let mutex: Mutex<Value>
    @usableFromInline let handedOver = Atomic<Bool>(false)

    /// Guards a value.
    @inlinable
    public init(_ value: consuming sending Value) {
        mutex = Mutex(value)
    }

    /// Runs the body with the lock held. Not recursive.
    @inlinable
    public borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try mutex.withLock { (value) throws(Failure) in
            _ = handedOver.load(ordering: .acquiring)
            defer { handedOver.store(true, ordering: .releasing) }
            return try body(&value)
        }
    }
}

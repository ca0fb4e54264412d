// SPDX-License-Identifier: Apache-2.0

import PosthouseBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Is told when a thread that it got to know ends.
protocol ThreadFollower: AnyObject, Sendable {
    /// Called on that thread, as the last it does.
    func threadEnded(_ thread: ThreadLife)
}

/// One operating system thread, from its first use of a personal pool until its end.
///
/// It is the thread's own value of a key of POSIX thread-specific data, whose destructor the system calls when the thread
/// ends, but not for threads that are still there when the process ends.
final class ThreadLife: Sendable {
    private struct Follower {
        weak var follower: (any ThreadFollower)?
    }

    private let followers = Guarded<[Follower]>([])

    /// The thread that asks.
    ///
    /// - Throws: ``PoolError/Code/exhausted`` if the process has no key left, or no memory.
    static var current: ThreadLife {
        get throws(PoolError) {
            guard let key else {
                throw PoolError(code: .exhausted, message: "the process has no key for thread-specific data left")
            }
            if let pointer = pthread_getspecific(key) {
                return Unmanaged<ThreadLife>.fromOpaque(pointer).takeUnretainedValue()
            }
            let made = Unmanaged.passRetained(ThreadLife())
            guard pthread_setspecific(key, made.toOpaque()) == 0 else {
                made.release()
                throw PoolError(code: .exhausted, message: "the system has no memory left for thread-specific data")
            }
            return made.takeUnretainedValue()
        }
    }

    private static let key: pthread_key_t? = {
        var key = pthread_key_t()
        #if canImport(Darwin)
            let status = pthread_key_create(&key) { end(of: $0) }
        #else
            let status = pthread_key_create(&key) { pointer in
                if let pointer { end(of: pointer) }
            }
        #endif
        return status == 0 ? key : nil
    }()

    private static func end(of pointer: UnsafeMutableRawPointer) {
        let thread = Unmanaged<ThreadLife>.fromOpaque(pointer).takeRetainedValue()
        let followers = thread.followers.withLock { $0.compactMap(\.follower) }
        for follower in followers { follower.threadEnded(thread) }
    }

    /// From now on the follower is told of the thread's end.
    func add(_ follower: some ThreadFollower) {
        followers.withLock { followers in
            followers.removeAll { $0.follower == nil || $0.follower === follower }
            followers.append(Follower(follower: follower))
        }
    }
}

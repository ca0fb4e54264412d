import Glibc
// SPDX-License-Identifier: Apache-2.0
import PosthouseBase
import Synchronization

/// A fixed number of loops that share the sockets of a program.
public final class EventLoopGroup: Sendable {
    /// The loops, in the order ``next()`` hands them out.
    public let loops: [EventLoop]

    private let handedOut = Atomic<Int>(0)

    private static let sharedGroup = Guarded<EventLoopGroup?>(nil)

    /// Makes a group.
    ///
    /// - Parameters:
    ///   - count: how many loops; at least one is made.
    ///   - name: of the threads; each gets its number appended.
    /// - Throws: what the first loop that cannot be made throws. Those made before are shut down.
    public init(count: Int, name: String) throws(ReactorError) {
        var loops: [EventLoop] = []
        for number in 0..<max(1, count) {
            do {
                loops.append(try EventLoop(name: "\(name)-\(number)"))
            } catch {
                Task.detached { [loops] in for loop in loops { await loop.shutdown() } }
                throw error
            }
        }
        self.loops = loops
    }

    /// The loops that connections use unless they are told otherwise: one per core, four at most. Made at first use; they
    /// live as long as the process.
    ///
    /// - Throws: when they cannot be made. The next use tries again.
    public static var shared: EventLoopGroup {
        get throws(ReactorError) {
            try sharedGroup.withLock { (group) throws(ReactorError) in
                if let group { return group }
                let cores = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
                let made = try EventLoopGroup(count: min(4, cores), name: "posthouse")
                group = made
                return made
            }
        }
    }

    /// The next loop, in turn.
    public func next() -> EventLoop {
        let number = handedOut.wrappingAdd(1, ordering: .relaxed).oldValue
        return loops[Int(UInt(bitPattern: number) % UInt(loops.count))]
    }

    /// Shuts all loops down; see ``EventLoop/shutdown()``. Not for the shared group.
    public func shutdown() async {
        for loop in loops { await loop.shutdown() }
    }
}

// SPDX-License-Identifier: Apache-2.0

import CTask

/// Who the running thread is to the pool: where it looks first for an idle connection, and how it breaks ties.
///
/// For a simulation, which plays many threads on one: without it a run could not be repeated.
package enum ThreadGuise {
    /// Threads count themselves from 0 and never get so far.
    private static let first: UInt64 = 1 << 32

    /// From now on the running thread counts as this one, and its ties are drawn from `seed`.
    ///
    /// - Parameter number: Any below 2^32.
    @inline(__always)
    package static func put(on number: UInt64, seed: UInt64) {
        ctask_guise(first + number, seed)
    }

    /// The running thread is itself again.
    package static func takeOff() { ctask_guise(.max, 0) }

    /// Whether the running thread is one that wears a guise.
    package static var isWorn: Bool { ctask_thread_number() >= first }
}

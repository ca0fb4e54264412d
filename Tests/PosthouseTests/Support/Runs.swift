// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How often something ran.
final class Runs: Sendable {
    private let counter = Atomic(0)

    var count: Int { counter.load(ordering: .sequentiallyConsistent) }

    /// Counts one more.
    ///
    /// - Returns: Which one it is, from 1.
    @discardableResult
    func next() -> Int { counter.add(1, ordering: .sequentiallyConsistent).newValue }
}

// SPDX-License-Identifier: Apache-2.0

import CAllocations

/// What the process asks of its allocator meanwhile.
enum CountedAllocations {
    /// Runs the body twice: what it needs once for all (a task's first block of stack, say) does not count.
    static func of(_ body: () async throws -> Void) async throws -> Double {
        try await body()
        allocations_start()
        try await body()
        return Double(allocations_stop())
    }
}

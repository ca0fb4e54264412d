// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Counts what shows that a host lives, beside the answers that its connections count themselves: connections that were opened
/// or validated.
///
/// Whoever looks twice knows whether the host has spoken in between. That keeps a host that is only slow from being taken for
/// frozen, and what it said last from growing old; who it is, and on which timeline, is said by reports alone.
final class SignsOfLife: Sendable {
    private let signs = Atomic<UInt64>(0)

    var count: UInt64 { signs.load(ordering: .relaxed) }

    func note() {
        signs.wrappingAdd(1, ordering: .relaxed)
    }
}

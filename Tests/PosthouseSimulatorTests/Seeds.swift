// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Which seed random tests begin with, and how many failovers they see.
enum Seeds {
    /// `POSTHOUSE_TEST_SEED`, or 1.
    static var first: UInt64 { number("POSTHOUSE_TEST_SEED") ?? 1 }
    /// `POSTHOUSE_TEST_FAILOVERS`, or few, because the tests are not optimized; `make simulate` runs the many.
    static var failovers: Int { number("POSTHOUSE_TEST_FAILOVERS").map { Int($0) } ?? 30 }

    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap(UInt64.init)
    }
}

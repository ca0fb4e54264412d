// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Which seeds a random test runs with.
enum Seeds {
    /// `POSTHOUSE_TEST_SEED` alone, else as many as `POSTHOUSE_TEST_SEEDS` says, else `count`.
    static func fromEnvironment(default count: UInt64) -> [UInt64] {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["POSTHOUSE_TEST_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(1...max(1, environment["POSTHOUSE_TEST_SEEDS"].flatMap(UInt64.init) ?? count))
    }
}

// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Keeps a connection while it is idle, and is told when something arrives there, or the other side hangs up.
package final class IdleKeeper: Sendable {
    let hasInput: @Sendable (DatabaseConnection) -> Void

    /// - Parameter hasInput: As ``ConnectionEvents/connectionHasIdleInput(_:)``.
    package init(hasInput: @escaping @Sendable (DatabaseConnection) -> Void) {
        self.hasInput = hasInput
    }
}

extension DatabaseConnection {
    /// Puts a connection that somebody else has opened into a keeper's hands, once and for ever.
    ///
    /// - Returns: false if it is in other hands already.
    package func keep(in keeper: IdleKeeper) -> Bool {
        self.keeper.storeIfNil(keeper) === keeper
    }
}

// SPDX-License-Identifier: Apache-2.0

#if DEBUG
    import Synchronization

    /// Checks, in debug builds, that a `PGconn` is touched by its owner only, and by one thread at a time.
    ///
    /// libpq has no locks of its own, and ThreadSanitizer sees little inside it: a second thread in the same connection
    /// corrupts it silently. A violation is a bug of this module, whatever users and networks do, and stops the program.
    final class OwnerWord: Sendable {
        private static let nobody: UInt8 = 0
        private static let owned: UInt8 = 1
        private static let inside: UInt8 = 2

        private let word = Atomic<UInt8>(nobody)

        /// Somebody starts to own the connection.
        func take() {
            move(from: Self.nobody, to: Self.owned, "taken while somebody owns it")
        }

        /// The owner is done.
        func giveBack() {
            move(from: Self.owned, to: Self.nobody, "given back by somebody who does not own it")
        }

        /// The owner calls libpq.
        func enter() {
            move(from: Self.owned, to: Self.inside, "touched without being owned, or by two threads at once")
        }

        /// libpq returned.
        func leave() {
            move(from: Self.inside, to: Self.owned, "touched by two threads at once")
        }

        private func move(from expected: UInt8, to desired: UInt8, _ violation: StaticString) {
            let (exchanged, _) = word.compareExchange(
                expected: expected,
                desired: desired,
                ordering: .acquiringAndReleasing
            )
            precondition(exchanged, "a libpq connection was \(violation)")
        }
    }
#endif

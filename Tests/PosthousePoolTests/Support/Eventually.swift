// SPDX-License-Identifier: Apache-2.0

import Testing

/// Waits until the condition holds. The deadline is generous: it ends a test that has failed, and no other.
func eventually(
    _ what: String = "the condition holds",
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(300)
    while !condition() {
        if ContinuousClock.now > deadline {
            Issue.record("never: \(what)", sourceLocation: sourceLocation)
            throw NeverHappened(what: what)
        }
        // A pause, and not only a yield: many tests wait at the same time, on few threads.
        try await Task.sleep(for: .milliseconds(1))
    }
}

struct NeverHappened: Error {
    let what: String
}

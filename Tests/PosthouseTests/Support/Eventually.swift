// SPDX-License-Identifier: Apache-2.0

import Testing

/// Waits until a condition holds, for so long that only a defect lets it time out; then the test fails.
///
/// - Parameter what: What is waited for, for the report.
func eventually(
    _ what: Comment,
    within limit: Duration = .seconds(120),
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, what, sourceLocation: sourceLocation)
        try await Task.sleep(for: .milliseconds(1))
    }
}

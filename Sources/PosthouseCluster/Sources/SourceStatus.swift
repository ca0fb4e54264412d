// SPDX-License-Identifier: Apache-2.0

/// How a cluster gets on with its source.
public struct SourceStatus: Sendable {
    /// When the source last named hosts; `nil` if it never has.
    public var answeredAt: ContinuousClock.Instant?
    /// How many hosts it named then.
    public var hosts = 0
    /// How many questions in a row have failed since.
    public var failures = 0
    /// Why the last one did, in words.
    public var lastFailure: String?
}

// SPDX-License-Identifier: Apache-2.0

import PosthousePool

/// What is known of one host: the evidence, and the verdict drawn from it.
struct HostRecord: Sendable {
    /// "host:port".
    let label: String

    // The evidence.

    /// The last answer, kept over outages so that a new run of the server is told from the old one.
    var report: HostReport?
    var reportedAt: ContinuousClock.Instant?
    /// The last failed check since the last answer.
    var failure: HostFailure?
    /// Consecutive checks without an answer.
    var misses = 0
    /// Proven to be unusable in this way; `nil` while nothing is proven against it.
    var outage: HostState?
    /// Whether ``report`` still speaks for the host.
    var isAnswering = false
    /// When it failed last.
    var failedAt: ContinuousClock.Instant?
    /// Whether a check was asked for and has not ended.
    var isSuspected = false

    /// Whether anything is known of it, good or bad.
    var isHeard: Bool { report != nil || failure != nil }

    // The verdict.

    var state = HostState.unknown
    var role = HostRole.unknown
    var reason: String?
    var serves: ServiceClass = []
    /// The permits of its leases are void, and it has served nothing since.
    var isFenced = false
    /// The primary under another name: it is served under that.
    var isAlias = false

    init(label: String) {
        self.label = label
    }
}
